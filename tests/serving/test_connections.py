"""What a client may do with its connection: offer, close one side, leave, send too much. By raw sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from modeldyno.serving.web.heads import MOST_HEAD_BYTES, MOST_HEADERS
from tests.serving import models
from tests.serving.gate import Gate, body, connect, post, received, statuses
from tests.serving.helpers import JSON, Server, serving, wait_until
from tests.serving.test_app import counts

UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAA")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    return Gate(tmp_path_factory.mktemp("gate"))


@pytest.fixture(scope="module")
def server(gate: Gate) -> Iterator[Server]:
    with serving(gate.folder, gate.folder) as running:
        yield running
        assert "Traceback" not in running.child.log.read_text()


def wait_in_flight(server: Server, number: int) -> None:
    wait_until(lambda: counts(server)["dyno_requests_in_flight"] == number, 30)


@pytest.mark.parametrize("offer", ["h2c", "websocket", "TLS/1.0"])
def test_an_offer_of_another_protocol_is_ignored(server: Server, offer: str) -> None:
    with connect(server.port) as client:
        lines = ("Connection: close, Upgrade", f"Upgrade: {offer}")
        client.sendall(post(body("offered"), *lines))
        found = received(client)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert found.endswith(b'{"name":"offered"}')


def test_offers_in_a_row_in_pieces_and_in_chunks_keep_their_bodies(server: Server) -> None:
    chunked = post(b"", *UPGRADE, "Transfer-Encoding: chunked", length=False)
    content = body("chunks")
    chunked += b"%x\r\n%s\r\n3\r\n   \r\n0\r\n\r\n" % (len(content), content)
    all_of_them = post(body("first"), *UPGRADE) * 2 + chunked + post(body("last"), "Connection: close")
    with connect(server.port) as client:
        for start in range(0, len(all_of_them), 50):
            client.sendall(all_of_them[start : start + 50])
        found = received(client)
    assert statuses(found) == [200] * 4
    assert [name for name in (b"first", b"chunks", b"last") if name in found] == [
        b"first",
        b"chunks",
        b"last",
    ]


def test_an_offer_without_a_body_is_answered_too(server: Server) -> None:
    with connect(server.port) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


HEADS = {
    "one header": b"POST /invocations HTTP/1.1\r\nX-A: " + b"a" * 400_000,
    "many long headers": b"POST /invocations HTTP/1.1\r\n" + (b"X-A: " + b"a" * 1000 + b"\r\n") * 400,
    "a long whole head": b"GET /ping HTTP/1.1\r\nX-A: " + b"a" * MOST_HEAD_BYTES + b"\r\n\r\n",
    "a path": b"GET /" + b"a" * 400_000,
    "many headers": b"GET /ping HTTP/1.1\r\n" + b"a:\r\n" * (MOST_HEADERS + 1) + b"\r\n",
    "trailers": post(b"", "Transfer-Encoding: chunked", length=False) + b"0\r\nX-A: " + b"a" * 400_000,
}


@pytest.mark.parametrize("kind", HEADS)
def test_heads_and_trailers_have_a_limit(server: Server, kind: str) -> None:
    with connect(server.port) as client:
        client.sendall(HEADS[kind])
        found = received(client)
    assert statuses(found) == [431]
    assert b"headers" in found


def test_a_head_within_the_limits_before_a_large_body_is_taken(server: Server) -> None:
    content = body("large" + "x" * 300_000)
    lines = (f"X-A: {'a' * (MOST_HEAD_BYTES - 2000)}", *("a: b",) * 200, "Connection: close")
    with connect(server.port) as client:
        client.sendall(post(content, *lines))
        assert statuses(received(client)) == [200]


def test_what_is_no_http_behind_a_request_is_refused_after_its_answer(server: Server, gate: Gate) -> None:
    with connect(server.port) as client:
        client.sendall(post(body("before", "before")) + b"what is this?\r\n\r\n")
        wait_until(lambda: "before" in gate.run(), 30)
        gate.open("before")
        found = received(client)
    assert statuses(found) == [200, 400]
    words = "this is no valid HTTP request"
    assert json.loads(found.rpartition(b"\r\n")[2]) == {"error": words, "message": words}


def test_a_client_that_closes_its_sending_side_gets_its_answer(server: Server, gate: Gate) -> None:
    """One runs when its client does so, one waits behind it."""
    with connect(server.port) as runs, connect(server.port) as waits:
        runs.sendall(post(body("runs", "half")))
        wait_until(lambda: "runs" in gate.run(), 30)
        waits.sendall(post(body("waits")))
        wait_in_flight(server, 2)
        for client in (runs, waits):
            client.shutdown(socket.SHUT_WR)
        assert waits.recv(9) == b"HTTP/1.1 "  # before its turn: to see whether somebody is there
        gate.open("half")
        assert received(runs).endswith(b'{"name":"runs"}')
        rest = received(waits)
    assert rest.startswith(b"200 ")
    assert rest.endswith(b'{"name":"waits"}')


def test_requests_in_the_pipeline_of_a_closed_sending_side_are_answered_but_for_half_ones(
    server: Server,
) -> None:
    before = counts(server)["dyno_requests_total/200"]
    with connect(server.port) as client:
        client.sendall(b"".join(post(body(name)) for name in "abc") + post(body("half one"))[:-3])
        client.shutdown(socket.SHUT_WR)
        found = received(client)
    assert statuses(found) == [200] * 3
    assert [found.index(b'{"name":"%s"}' % name) for name in (b"a", b"b", b"c")] == sorted(
        found.index(b'{"name":"%s"}' % name) for name in (b"a", b"b", b"c")
    )
    wait_until(lambda: counts(server)["dyno_requests_total/200"] == before + 3, 10)


def test_large_answers_and_requests_in_several_reads_reach_a_closed_sending_side(tmp_path: Path) -> None:
    """More than the system's buffers take either way; the client reads slowly, a piece at a time."""
    size = 2**22
    with serving(models.relu_rows(tmp_path / "m.onnx"), tmp_path) as server, connect(server.port) as client:
        lines = ("POST /invocations HTTP/1.1", "Content-Type: application/octet-stream")
        head = "\r\n".join((*lines, f"Content-Length: {size}", "", "")).encode()
        sender = threading.Thread(target=client.sendall, args=((head + bytes(size)) * 4,))
        sender.start()
        found = bytearray(client.recv(1000))
        sender.join(0.3)  # its first answers fill the buffers: nobody reads them
        while len(found) < 4 * size and (part := client.recv(2**16)):
            found += part
            if not sender.is_alive():
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)
        found += received(client)
    assert statuses(bytes(found)) == [200] * 4
    assert len(found) > 4 * size
    assert "Traceback" not in server.child.log.read_text()


def test_clients_that_leave_with_requests_in_the_pipeline_leave_nothing_behind(server: Server) -> None:
    before = counts(server)
    for number in range(40):
        with connect(server.port) as client:
            client.sendall(post(body("piped")) * 30)
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    wait_in_flight(server, 0)
    after = counts(server)
    assert after["dyno_requests_total/200"] + after.get("dyno_requests_total/gone", 0) > (
        before["dyno_requests_total/200"] + before.get("dyno_requests_total/gone", 0)
    )
    assert server.infer(body("next"), JSON).status == 200


def test_a_preface_of_http_2_is_refused(server: Server) -> None:
    with connect(server.port) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert statuses(received(client)) == [400]


def test_a_tunnel_is_refused(server: Server) -> None:
    with connect(server.port) as client:
        client.sendall(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nwhatever follows")
        found = client.recv(1000)
    assert statuses(found)[0] in (400, 404, 405)


def test_requests_of_clients_that_left_are_not_run_and_not_counted_as_answered(
    server: Server, gate: Gate
) -> None:
    """Of six the first runs when all leave, each in its own way."""
    before = counts(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(6)]
        clients[0].sendall(post(body("leaves-running", "leave")))
        wait_until(lambda: "leaves-running" in gate.run(), 30)
        for number, client in enumerate(clients[1:]):
            client.sendall(post(body(f"leaves-{number}"), *(("Connection: close",) if number == 0 else ())))
        wait_in_flight(server, 6)
        clients[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        clients[2].sendall(post(body("leaves-pipelined")))
        for client in clients:
            client.close()
    wait_in_flight(server, 1)
    gate.open("leave")
    wait_in_flight(server, 0)
    after = counts(server)
    assert [name for name in gate.run() if name.startswith("leaves")] == ["leaves-running"]
    assert after["dyno_requests_total/200"] == before["dyno_requests_total/200"]
    assert after["dyno_requests_total/gone"] - before.get("dyno_requests_total/gone", 0) == 6
    assert server.infer(body("next"), JSON).status == 200


def test_the_bodies_of_clients_that_left_are_let_go_before_their_turn(server: Server, gate: Gate) -> None:
    process = psutil.Process(server.child.pid)
    server.infer(body("x" * 2**24), JSON)
    memory = process.memory_info().rss
    with connect(server.port) as first:
        first.sendall(post(body("first", "bodies")))
        wait_until(lambda: "first" in gate.run(), 30)
        for _ in range(6):
            with connect(server.port) as client:
                client.sendall(post(body("y" * 2**24)))
                wait_in_flight(server, 2)
            wait_in_flight(server, 1)
        assert process.memory_info().rss - memory < 60 * 2**20
        gate.open("bodies")
        assert first.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def hang_up_is_heard() -> Iterator[None]:
    """Where the tests were started by nohup, a server would inherit that SIGHUP is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_is_heard")
def test_sighup_answers_what_was_accepted_and_ends_well(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with serving(tmp_path, tmp_path) as server, connect(server.port) as client, connect(server.port) as half:
        client.sendall(post(body("running", "open")))
        wait_until(lambda: "running" in gate.run(), 30)
        half.sendall(post(body("queued")))
        wait_in_flight(server, 2)
        half.shutdown(socket.SHUT_WR)
        os.kill(server.child.pid, signal.SIGHUP)
        gate.open("open")
        assert received(client).endswith(b'{"name":"running"}')
        assert received(half).endswith(b'{"name":"queued"}')
        assert server.child.process.wait(30) == 0
        assert server.child.log_tail(1) == "stopped"
        assert "Traceback" not in server.child.log.read_text()
