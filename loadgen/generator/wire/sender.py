"""A Locust user that sends over one connection, and how a request is timed and judged."""

from __future__ import annotations

import errno
import time
from typing import Any

import gevent
from locust import User

from modeldyno.loadgen.generator.wire.connection import Connection
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.stats.outcomes import NO_SOCKET
from modeldyno.loadgen.stats.recording import FailureKind

NS_PER_S = 1_000_000_000
NO_SOCKET_ERRORS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
"""Of this machine, not of the server."""

now_ns = time.perf_counter_ns


class Sender(User):
    """A Locust user with one connection of its own."""

    abstract = True
    timeout_s = 30.0
    status = 200
    """Of the last answer."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._connection = Connection()

    def prepare(self, url: str, payload: Payload) -> list[bytes]:
        """Do beforehand what can be done of a request before its time; `send` wants what this gives."""
        return self._connection.prepare(url, payload.content_type, payload.body)

    def send(self, request: list[bytes], end_by_ns: int) -> tuple[int, FailureKind | None]:
        """Send one request; return when its last byte was there, and how it failed if it did."""
        try:
            with gevent.Timeout(max(0.001, (end_by_ns - now_ns()) / NS_PER_S)):
                status, body = self._connection.post(request)
        except (gevent.Timeout, Exception) as error:  # whatever a client raises is a failed request
            self._connection.close()  # half a request may be left in it
            return now_ns(), broken(error, self.timeout_s)
        self.status, ended_ns = status, self._connection.last_byte_ns
        return ended_ns, late(self.timeout_s) if ended_ns > end_by_ns else judge(status, body)

    def on_stop(self) -> None:
        """Leave."""
        self._connection.close()


def judge(status: int, body: bytes) -> FailureKind | None:
    """Say how a request failed, from its answer; None when it did not."""
    if 200 <= status < 300:
        return None
    text = body.decode(errors="replace").strip()
    return FailureKind(status, "status", text or f"HTTP {status} without a body")


def broken(error: BaseException, timeout_s: float) -> FailureKind:
    """Say why no whole answer came."""
    if isinstance(error, (gevent.Timeout, TimeoutError)):
        return late(timeout_s)
    if isinstance(error, OSError) and error.errno in NO_SOCKET_ERRORS:
        return FailureKind(None, NO_SOCKET, f"not sent: {error.strerror or error}")
    if isinstance(error, ConnectionRefusedError):
        return FailureKind(None, "refused", "connection refused")
    return FailureKind(None, type(error).__name__, f"{type(error).__name__}: {error}")


def late(timeout_s: float) -> FailureKind:
    """A request took too long."""
    return FailureKind(None, "timeout", f"no whole answer within {timeout_s:g} s")


def sleep_until(moment_ns: int) -> None:
    """Sleep to a perf_counter time; a timer of the event loop alone may ring early."""
    while (left_ns := moment_ns - now_ns()) > 0:
        gevent.sleep(left_ns / NS_PER_S)
