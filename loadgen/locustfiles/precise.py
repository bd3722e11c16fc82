"""Sending at the very moment: what a process can do against the lateness of its own timers.

Linux rings a timer up to 50 us late on purpose, so that it can ring several at once, and a core that sleeps
takes some time to wake. So the generator asks for timers without that slack, and a user who waits for an
arrival wakes a moment early and passes the rest of the time by letting others go first: the event loop turns
meanwhile, and answers that come are read at once. This waiting costs at most SPIN_SHARE of a core: the higher
the rate, the shorter it is, until there is none.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

import gevent

from loadgen.locustfiles.sender import NS_PER_S, now_ns

_PR_SET_TIMERSLACK = 29
MOST_SPIN_NS = 200_000
SPIN_SHARE = 0.1


def sharpen_timers() -> None:
    """Ask for timers that ring within a nanosecond of their time (Linux; the calling thread's)."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def spin_ns(rate_rps: float) -> int:
    """How long before an arrival its user wakes, for so many arrivals a second in this process."""
    return int(min(MOST_SPIN_NS, SPIN_SHARE / rate_rps * NS_PER_S))


def wait_until(moment_ns: int, early_ns: int) -> None:
    """Return at a perf_counter time: asleep until `early_ns` before it, then turn by turn."""
    while (left_ns := moment_ns - now_ns()) > early_ns:
        gevent.sleep((left_ns - early_ns) / NS_PER_S)
    while now_ns() < moment_ns:
        gevent.sleep(0)
