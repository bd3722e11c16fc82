"""A server in threads of the test's own process, which knows what came over how many connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class CountingServer(ThreadingHTTPServer):
    """Answers each POST with the next of `statuses`, again and again; 0 gives no answer."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, statuses: tuple[int, ...]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.statuses = statuses
        self.bodies: list[bytes] = []
        self.opened: list[socket.socket] = []
        self.open_now = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/invocations"

    def take(self, body: bytes) -> int:
        with self.lock:
            self.bodies.append(body)
            return self.statuses[(len(self.bodies) - 1) % len(self.statuses)]

    def end(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in self.opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    server: CountingServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.opened.append(self.connection)
            self.server.open_now += 1

    def finish(self) -> None:
        with self.server.lock:
            self.server.open_now -= 1
        with suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        status = self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        if not status:
            self.server.closing.wait()
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def counting_server(*statuses: int, port: int = 0) -> Iterator[CountingServer]:
    server = CountingServer(port, statuses or (200,))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join()
