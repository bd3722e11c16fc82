"""The generator's own connection, against a plain server: large bodies, TLS, answers that end it."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

SEND_WHOLE_BYTES = 65536
# Locust patches the process that imports it: this one must not be.
CLIENT = """
import json, sys
from modeldyno.loadgen.generator.wire.connection import SEND_WHOLE_BYTES, Connection

connection, found = Connection(), []
for size in map(int, sys.argv[2:]):
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    status, answer = connection.post(connection.prepare(sys.argv[1], "application/octet-stream", body))
    found.append([status, answer.decode()])
connection.close()
print(json.dumps([SEND_WHOLE_BYTES, found]))
"""
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
Wrap = Callable[[socket.socket], socket.socket]


class Server:
    """Reads whole requests, and answers each with the next of `answers`."""

    def __init__(self, answers: list[bytes], wrap: Wrap) -> None:
        self.answers, self.wrap = answers, wrap
        self.bodies: list[bytes] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def serve(self) -> None:
        while self.answers:
            taken, _ = self.listener.accept()
            self.connections += 1
            with self.wrap(taken) as wire, wire.makefile("rb") as stream:
                while self.answers and self._answered(wire, stream):
                    pass

    def _answered(self, wire: socket.socket, stream: BinaryIO) -> bool:
        length, line = 0, b""
        while line != b"\r\n":
            line = stream.readline()
            if not line:
                return False
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.bodies.append(stream.read(length))
        answer = self.answers.pop(0)
        wire.sendall(answer)
        return answer != CLOSED


@contextmanager
def serving(*answers: bytes, wrap: Wrap = lambda taken: taken) -> Iterator[Server]:
    server = Server(list(answers), wrap)
    thread = threading.Thread(target=server.serve, daemon=True)
    with ExitStack() as ends:
        ends.callback(server.listener.close)
        thread.start()
        yield server
        thread.join(timeout=10)


def post(server: Server, *sizes: int, scheme: str = "http") -> list[list[object]]:
    """Send bodies of these sizes over one Connection; give status and text of each answer."""
    url = f"{scheme}://127.0.0.1:{server.port}/invocations"
    command = [sys.executable, "-W", "ignore", "-c", CLIENT, url, *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    whole, found = json.loads(done.stdout)
    assert whole == SEND_WHOLE_BYTES
    return list(found)


def content(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def test_bodies_of_all_sizes_arrive_whole_on_the_same_connection() -> None:
    sizes = [0, 5, SEND_WHOLE_BYTES, SEND_WHOLE_BYTES + 1, 3 << 20, 7]
    with serving(KEPT, CHUNKED, KEPT, KEPT, CHUNKED, KEPT) as server:
        found = post(server, *sizes)
    assert found == [[200, "abcde" if place in (1, 4) else "ok"] for place in range(6)]
    assert server.bodies == [content(size) for size in sizes]
    assert server.connections == 1


def test_a_server_that_ends_the_connection_gets_a_new_one() -> None:
    with serving(CLOSED, KEPT) as server:
        assert post(server, 1, 2) == [[200, "ok"]] * 2
    assert server.connections == 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_https_works_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run(["openssl", "req", "-x509", *made], check=True, capture_output=True)  # noqa: S607
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(KEPT, KEPT, wrap=lambda taken: context.wrap_socket(taken, server_side=True)) as server:
        assert post(server, 1 << 20, 5, scheme="https") == [[200, "ok"]] * 2
    assert server.bodies == [content(1 << 20), content(5)]
    assert server.connections == 1


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"
EMPTY = b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        pytest.param(OK + b"\r\ngarbage", [200, "ok"], id="bytes-behind-a-length"),
        pytest.param(OK + REFUSED, [200, "ok"], id="a-second-answer"),
        pytest.param(REFUSED + OK, [500, "no"], id="a-second-answer-that-is-well"),
        pytest.param(CHUNKED + b"0\r\n\r\n", [200, "abcde"], id="bytes-behind-the-last-chunk"),
        pytest.param(EMPTY + b"no", [204, ""], id="a-body-where-none-can-be"),
        pytest.param(b"HTTP/1.1 304 Same\r\n\r\n" + REFUSED, [304, ""], id="no-body-and-an-answer"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\n\r\n",
            [200, "abc"],
            id="two-lengths",
        ),
    ],
)
def test_what_stands_behind_an_answer_decides_neither_its_status_nor_the_next_one(
    first: bytes, expected: list[object]
) -> None:
    with serving(first, OK) as server:
        assert post(server, 1, 2) == [expected, [200, "ok"]]
    assert server.connections == 2
    assert server.bodies == [content(1), content(2)]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, [200, "ok"], id="interim"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK,
            [200, "ok"],
            id="two-interim",
        ),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", [204, ""], id="no-content"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
            [200, "abc"],
            id="trailers",
        ),
        pytest.param(b"HTTP/1.1 200\r\ncontent-length:2, 2\r\n\r\nok", [200, "ok"], id="same-length-twice"),
    ],
)
def test_an_answer_of_any_form_leaves_the_connection_to_the_next(
    first: bytes, expected: list[object]
) -> None:
    with serving(first, OK) as server:
        assert post(server, 1, 2) == [expected, [200, "ok"]]
    assert server.connections == 1


# One server process for each answer would be slow: the parser alone reads them, byte by byte and at once.
READER = """
import json, sys
from modeldyno.loadgen.generator.wire.http_answer import read_answer

found = []
for text in json.load(sys.stdin):
    data = text.encode("latin-1")
    for size in (1, len(data) or 1):
        parts = [data[place : place + size] for place in range(0, len(data), size)] + [b""]
        try:
            status, body, keeps = read_answer(iter(parts).__next__)
            found.append([status, body.decode(), keeps])
        except Exception as error:
            found.append(type(error).__name__)
print(json.dumps(found))
"""
BAD, CUT = "BadAnswerError", "CutAnswerError"
WHOLE = "HTTP/1.1 200 OK\r\n"
ANSWERS: dict[str, object] = {
    "": CUT,
    "HTTP/1.1 20": CUT,
    f"{WHOLE}Content-Length: 3\r\n\r\nok": CUT,
    f"{WHOLE}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n": CUT,
    f"{WHOLE}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n": CUT,
    "HTTP/1.1 100 Continue\r\n\r\n": CUT,
    "SSH-2.0-OpenSSH\r\n\r\n": BAD,
    "HTTP/2 200 OK\r\n\r\n": BAD,
    "HTTP/1.1 20 OK\r\n\r\n": BAD,
    "HTTP/1.1 101 Switching Protocols\r\n\r\n": BAD,
    f"{WHOLE}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!": BAD,
    f"{WHOLE}Content-Length: -2\r\n\r\nok": BAD,
    f"{WHOLE}Content Length\r\n\r\n": BAD,
    f"{WHOLE}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n": BAD,
    f"{WHOLE}Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n": BAD,
    f"{WHOLE}\r\nto the end": [200, "to the end", False],
    f"{WHOLE}Transfer-Encoding: gzip\r\n\r\nto the end": [200, "to the end", False],
    f"{WHOLE}Connection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n": [200, "", False],
    "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n": [200, "", False],
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n": [200, "", True],
    f"{WHOLE}X:\r\nContent-Length: 2\r\n\r\nok": [200, "ok", True],
}


def test_answers_end_where_the_protocol_says_or_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READER],
        input=json.dumps(list(ANSWERS)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = json.loads(done.stdout)
    assert dict(zip(ANSWERS, found[::2], strict=True)) == ANSWERS
    assert dict(zip(ANSWERS, found[1::2], strict=True)) == ANSWERS


def test_a_failure_of_this_machine_is_told_apart_from_one_of_the_server() -> None:
    code = (
        "import errno, os; from modeldyno.loadgen.generator.wire.sender import broken; "
        "print([broken(OSError(number, os.strerror(number)), 1.0).kind "
        "for number in (errno.EMFILE, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH)])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "['no_socket', 'no_socket', 'OSError']\n"
