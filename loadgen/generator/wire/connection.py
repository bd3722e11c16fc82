"""One HTTP/1.1 connection with as little as can be between the clock and the wire.

Locust's FastHttpUser spends 0.06 ms of Python before a request leaves and 0.04 ms between its answer and the
caller, and 0.15 and 0.08 ms when the process has slept before, as it has in an open loop: caches are cold and
that code is long. All of it would stand in each latency. So a request is bytes before its time comes, and its
answer is read by no more code than says where it ends (loadgen.generator.wire.http_answer).
"""

from __future__ import annotations

import socket as plain_socket
import time
from functools import lru_cache
from select import POLLIN
from urllib.parse import quote, urlsplit

from gevent import monkey, socket
from locust.contrib.fasthttp import insecure_ssl_context_factory

from modeldyno.loadgen.generator.wire.http_answer import read_redirect
from modeldyno.loadgen.server.endpoint import host_and_port

READ_BLOCK_BYTES = 65536
SEND_WHOLE_BYTES = 65536
"""Bodies up to this leave together with their head."""
_UNQUOTED = "/%:@!$&'()*+,;=~?"


class Connection:
    """To whatever server the URL of a request names; opened when there is none that lives."""

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._server: tuple[str, str, int] | None = None
        self.last_byte_ns = 0
        """When the end of the last answer was read."""
        self.location = b""
        """Where the last answer leads, if it is a redirect."""

    def prepare(self, url: str, content_type: str, body: bytes) -> list[bytes]:
        """Give what `post` sends. A connection that the server has closed meanwhile is dropped."""
        server = server_of(url)
        if server != self._server:
            self.close()
        self.drop_ended()
        self._server = server
        head = head_for(url, content_type, len(body))
        return [head + body] if len(body) <= SEND_WHOLE_BYTES else [head, body]

    def post(self, pieces: list[bytes]) -> tuple[int, bytes]:
        """Send what `prepare` gave; give status and body of the answer, which may be a redirect."""
        self.drop_ended()  # what has come meanwhile is no answer to this request
        if self._wire is None:
            assert self._server is not None  # noqa: S101 - prepare comes first
            self._wire = Wire(_connected(*self._server))
        wire = self._wire
        try:
            for piece in pieces:
                wire.socket.sendall(piece)
        except (ConnectionResetError, BrokenPipeError) as error:
            return self._refusal(wire, error)
        return self._answer(wire)

    @property
    def is_open(self) -> bool:
        """Whether there is one, as far as is known."""
        return self._wire is not None

    def drop_ended(self) -> None:
        """Drop an idle connection that is good for nothing any more."""
        if self._wire is not None and self._wire.has_ended():
            self.close()

    def close(self) -> None:
        """Drop the connection."""
        if self._wire is not None:
            self._wire.socket.close()
            self._wire = None

    def _answer(self, wire: Wire) -> tuple[int, bytes]:
        answer, location = read_redirect(wire.read)
        self.last_byte_ns, self.location = wire.read_ns, location
        if not answer.keeps:
            self.close()
        return answer.status, answer.body

    def _refusal(self, wire: Wire, error: OSError) -> tuple[int, bytes]:
        """A server may answer and close before it has all of a large body: that answer counts."""
        try:
            return self._answer(wire)
        except Exception:
            raise error from None
        finally:
            self.close()  # half a request is in it


class Wire:
    """A socket that notes when something was read."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket, self.read_ns = connected, 0
        # Not gevent's: that lets others run first.
        self._look = monkey.get_original("select", "poll")()
        self._look.register(connected.fileno(), POLLIN)

    def read(self) -> bytes:
        """Give what has come, nothing at the end."""
        data: bytes = self.socket.recv(READ_BLOCK_BYTES)
        self.read_ns = time.perf_counter_ns()
        return data

    def has_ended(self) -> bool:
        """Whether an idle connection is good for nothing: its end is there to read, or bytes of no answer."""
        return bool(self._look.poll(0))


def _connected(scheme: str, host: str, port: int) -> socket.socket:
    wire = socket.create_connection((host, port))
    wire.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
    if scheme == "https":
        # As Locust does it: test servers have certificates of their own.
        wire = insecure_ssl_context_factory().wrap_socket(wire, server_hostname=host)
    return wire


@lru_cache
def server_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    return urlsplit(url).scheme, *host_and_port(url)


@lru_cache(maxsize=1024)
def head_for(url: str, content_type: str, length: int) -> bytes:
    """Everything before the body; an answer that is packed would cost time on both sides."""
    parts = urlsplit(url)
    target = quote(parts.path or "/", _UNQUOTED) + (
        f"?{quote(parts.query, _UNQUOTED)}" if parts.query else ""
    )
    return (
        f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\nAccept-Encoding: identity\r\n\r\n"
    ).encode("latin-1")
