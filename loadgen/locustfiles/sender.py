"""One connection, and how a request is made, timed and judged.

What Locust's FastHttpUser does between the two readings of the clock is part of each latency: about 0.05
ms, measured beside a bare socket that sends the same bytes to the same server (0.155 ms and 0.106 ms).
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import gevent
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser

from loadgen.endpoint import INVOCATIONS
from loadgen.payload import Payload
from loadgen.recording import FailureKind

NS_PER_S = 1_000_000_000
READ_BLOCK_BYTES = 65536

now_ns = time.perf_counter_ns


class Sender(FastHttpUser):
    """A Locust user with one connection of its own."""

    abstract = True
    timeout_s = 30.0
    status = 200
    """Of the last answer."""

    def __init__(self, environment: Any) -> None:
        # The limit on the whole request rings before those on single reads.
        limits = {"network_timeout": self.timeout_s + 1, "connection_timeout": self.timeout_s + 1}
        self.client_pool = HTTPClientPool(concurrency=1, block_size=READ_BLOCK_BYTES, **limits)
        super().__init__(environment)
        agent = self.client.client
        # What a redirect leads to is no answer of the model; the limit alone hides its status in old clients.
        agent.max_redirects, agent.redirect_response_codes = 0, frozenset()
        agent.cookiejar = None  # it only costs time
        agent.valid_response_codes = frozenset(
            range(100, 1000)
        )  # read every answer's body, keep the connection

    def send(self, url: str, payload: Payload, end_by_ns: int) -> tuple[int, FailureKind | None]:
        """Send one request; return when its last byte was there, and how it failed if it did."""
        headers = headers_for(payload.content_type)
        try:
            with (
                gevent.Timeout(max(0.001, (end_by_ns - now_ns()) / NS_PER_S)),
                self.client.request(
                    "POST", url, name=INVOCATIONS, data=payload.body, headers=headers, catch_response=True
                ) as response,
            ):
                ended_ns = now_ns()
                self.status = int(response.status_code)
                failure = late(self.timeout_s) if ended_ns > end_by_ns else judge(response, self.timeout_s)
                if failure:
                    response.failure(failure.message)
        except (gevent.Timeout, Exception) as error:  # whatever a client raises is a failed request
            ended_ns, failure = now_ns(), broken(error, self.timeout_s)
        if failure and failure.status is None:
            self.client.client.clientpool.close()  # half a request may be left in the connection
        return ended_ns, failure


@lru_cache
def headers_for(content_type: str) -> dict[str, str]:
    """Headers of every request; an answer that is packed would cost time on both sides."""
    return {"Content-Type": content_type, "Accept-Encoding": "identity"}


def judge(response: Any, timeout_s: float) -> FailureKind | None:
    """Say how a request failed, from Locust's response; None when it did not."""
    error = response.request_meta["exception"] or getattr(response, "error", None)
    if error is not None:
        return broken(error, timeout_s)
    status = int(response.status_code)
    if 200 <= status < 300:
        return None
    text = (response.content or b"").decode(errors="replace").strip()
    return FailureKind(status, "status", text or f"HTTP {status} without a body")


def broken(error: BaseException, timeout_s: float) -> FailureKind:
    """Say why no whole answer came."""
    cause = getattr(error, "original", None) or error
    if isinstance(cause, (gevent.Timeout, TimeoutError)):
        return late(timeout_s)
    if isinstance(cause, ConnectionRefusedError):
        return FailureKind(None, "refused", "connection refused")
    return FailureKind(None, type(cause).__name__, f"{type(cause).__name__}: {cause}")


def late(timeout_s: float) -> FailureKind:
    """A request took too long."""
    return FailureKind(None, "timeout", f"no whole answer within {timeout_s:g} s")


def sleep_until(moment_ns: int) -> None:
    """Sleep to a perf_counter time; a timer of the event loop alone may ring early."""
    while (left_ns := moment_ns - now_ns()) > 0:
        gevent.sleep(left_ns / NS_PER_S)
