"""A Locust user that sends over one connection, and how a request is timed and judged."""

from __future__ import annotations

import errno
import time
from typing import Any

import gevent
from locust import User

from modeldyno.loadgen.generator.wire.connection import Connection, server_of
from modeldyno.loadgen.generator.wire.redirects import (
    MOST_HOPS,
    NotFollowedError,
    is_redirect,
    named,
    next_url,
)
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.spec.expected import ANY_SUCCESS, Expected
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
    expected = ANY_SUCCESS
    follows = False
    """Whether it goes where redirects lead."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._connection = Connection()
        self._elsewhere: dict[tuple[str, str, int], Connection] = {}
        self._prepared = ("", Payload(b"", ""))

    def prepare(self, url: str, payload: Payload) -> list[bytes]:
        """Do beforehand what can be done of a request before its time; `send` wants what this gives."""
        self._prepared = url, payload
        return self._connection.prepare(url, payload.content_type, payload.body)

    def send(self, request: list[bytes], end_by_ns: int) -> tuple[int, FailureKind | None]:
        """Send one request; return when its last byte was there, and how it failed if it did."""
        try:
            with gevent.Timeout(max(0.001, (end_by_ns - now_ns()) / NS_PER_S)):
                status, body, ended_ns = self._answer(request)
        except NotFollowedError as error:
            self.status = error.failure.status or 0
            return now_ns(), error.failure
        except (gevent.Timeout, Exception) as error:  # whatever a client raises is a failed request
            self._close()  # half a request may be left in one
            return now_ns(), broken(error, self.timeout_s)
        self.status = status
        return ended_ns, late(self.timeout_s) if ended_ns > end_by_ns else self._judge(status, body)

    def on_stop(self) -> None:
        """Leave."""
        self._close()

    def _answer(self, request: list[bytes]) -> tuple[int, bytes, int]:
        """Send a request, and again where a redirect leads; give status, body, time of the last byte."""
        connection = self._connection
        status, body = connection.post(request)
        url, payload = self._prepared
        for hops in range(MOST_HOPS + 1) if self.follows else ():
            if not is_redirect(status):
                break
            url = next_url(status, url, connection.location, hops)
            connection = self._connection_to(url)
            status, body = connection.post(connection.prepare(url, payload.content_type, payload.body))
        return status, body, connection.last_byte_ns

    def _connection_to(self, url: str) -> Connection:
        """Give a connection of its own to each server, so that each is kept."""
        if server_of(url) == server_of(self._prepared[0]):
            return self._connection
        return self._elsewhere.setdefault(server_of(url), Connection())

    def _judge(self, status: int, body: bytes) -> FailureKind | None:
        failure = judge(status, body, self.expected)
        if failure is not None and is_redirect(status) and status not in self.expected.statuses:
            return named(status, self._prepared[0], self._connection.location)
        return failure

    def _close(self) -> None:
        for connection in (self._connection, *self._elsewhere.values()):
            connection.close()


def judge(status: int, body: bytes, expected: Expected = ANY_SUCCESS) -> FailureKind | None:
    """Say how a request failed, from its answer; None when it did not."""
    return expected.failure(status, body)


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
