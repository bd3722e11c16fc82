"""The clients of the server's benchmark: a bare socket for latency, `wrk` for requests a second."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import click

RAW, JSON = "application/octet-stream", "application/json"
_LUA = """wrk.method = "POST"
wrk.headers["Content-Type"] = "{kind}"
local file = io.open("{path}", "rb")
wrk.body = file:read("*a")
file:close()
"""


class Client:
    """One kept-alive connection, and as little else as can be.

    `http.client` alone takes 0.1 ms for each request, which would be counted as the server's.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def post(self, path: str, kind: str, body: bytes) -> Callable[[], bytes]:
        """Make what sends one request and returns the body of its answer.

        Raises:
            ClickException: the answer is no 200, when called.
        """
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        message = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body

        def ask() -> bytes:
            self._socket.sendall(message)
            found = self._socket.recv(65536)
            while (end := found.find(b"\r\n\r\n")) < 0:
                found += self._more()
            length = re.search(rb"(?i)content-length: *(\d+)", found[:end])
            if not found.startswith(b"HTTP/1.1 200 ") or length is None:
                raise click.ClickException(f"the server answered {found[:300]!r}")
            while len(found) < end + 4 + int(length[1]):
                found += self._more()
            return found[end + 4 :]

        return ask

    def _more(self) -> bytes:
        part = self._socket.recv(65536)
        if not part:
            raise click.ClickException("the server closed the connection in the middle of an answer")
        return part


def script(folder: Path, name: str, kind: str, body: bytes) -> Path:
    """Write what makes wrk send `body`."""
    data, lua = folder / f"{name}.body", folder / f"{name}.lua"
    data.write_bytes(body)
    lua.write_text(_LUA.format(kind=kind, path=data))
    return lua


def throughput(url: str, lua: Path, connections: int, seconds: int) -> float:
    """Measure requests a second with wrk.

    Raises:
        ClickException: an answer was no 200.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(lua)]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if rate is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise click.ClickException(f"wrk saw failures: {done.stdout}")
    return float(rate[1])
