"""Sending at the very moment: what a process can do against the lateness of its own timers.

Linux rings a timer up to 50 us late on purpose, so that it can ring several at once, and a core that sleeps
takes some time to wake. So the generator asks for timers without that slack, and for a moment before an
arrival its event loop does not sleep: it looks at sockets and timers again and again, so that answers that
come are read at once. (Letting others go by gevent.sleep(0) would not do: gevent runs what is ready for up to
5 ms before it looks at a socket.) This waiting costs at most SPIN_SHARE of a core: the higher the rate, the
shorter it is, and above MOST_SPIN_RPS there is none. It is counted apart, since it is no work that limits the
rate.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import gevent

from modeldyno.loadgen.generator.wire.sender import NS_PER_S, now_ns

_PR_SET_TIMERSLACK = 29
MOST_SPIN_NS = 200_000
SPIN_SHARE = 0.1
MOST_SPIN_RPS = 2000.0
"""Above it a process hardly sleeps, and time awake would be mistaken for time without work."""
T = TypeVar("T")


class Awake:
    """Keeps the event loop of this process from sleeping while anybody wants it to."""

    def __init__(self) -> None:
        self._wanted = 0
        self._since_ns = self._total_ns = 0
        self._watcher: Any = None

    def begin(self) -> None:
        """One more wants it: an idle watcher makes libev ask the kernel without waiting."""
        self._wanted += 1
        if self._wanted == 1:
            self._since_ns = now_ns()
            self._watcher = self._watcher or gevent.get_hub().loop.idle()
            self._watcher.start(_nothing)

    def end(self) -> None:
        """One fewer does."""
        self._wanted -= 1
        if self._wanted == 0:
            self._watcher.stop()
            self._total_ns += now_ns() - self._since_ns

    @property
    def total_ns(self) -> int:
        """How long it was kept awake so far."""
        return self._total_ns + (now_ns() - self._since_ns if self._wanted else 0)


AWAKE = Awake()


def _nothing() -> None:
    """What is done for the sake of being awake."""


def sharpen_timers() -> None:
    """Ask for timers that ring within a nanosecond of their time (Linux; the calling thread's)."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def spin_ns(rate_rps: float) -> int:
    """How long before an arrival its user wakes, for so many arrivals a second in this process."""
    if rate_rps > MOST_SPIN_RPS:
        return 0
    return int(min(MOST_SPIN_NS, SPIN_SHARE / rate_rps * NS_PER_S))


def wait_until(moment_ns: int, early_ns: int, prepare: Callable[[], T]) -> T:
    """Return at a perf_counter time; from `early_ns` before it on, the event loop stays awake.

    What `prepare` gives is given back: it is called after the sleep, while there is time.
    """
    while (left_ns := moment_ns - now_ns()) > early_ns:
        gevent.sleep((left_ns - early_ns) / NS_PER_S)
    if left_ns <= 0:
        return prepare()
    AWAKE.begin()
    try:
        prepared = prepare()
        while (left_ns := moment_ns - now_ns()) > 0:
            gevent.sleep(left_ns / NS_PER_S)
    finally:
        AWAKE.end()
    return prepared
