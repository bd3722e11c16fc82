"""See a server idle between load tests: what a test left in its queue must not be measured by the next.

Before the first test a few single requests show what an unloaded answer takes. Between tests such requests
are sent one after another, each on a connection of its own, until several in a row take no longer than that.
Of a server with our metrics, no more requests may be in flight than there were before the first test. A
server that works off its queue in order answers the first of these requests behind the queue.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.server.endpoint import server_root
from modeldyno.loadgen.server.single import REFUSED
from modeldyno.loadgen.server.single import ask as ask_server

PROBES = 5
LEARN_LIMIT_S = 10.0
"""Before the first test: so many, or as many as end in this time."""
IN_A_ROW = 3
SPARE_SHARE, SPARE_S = 1.5, 0.005
"""An answer may take so many times the usual one, and so much more."""
LEAST_LIMIT_S = 60.0
LIMIT_SHARE = 10.0
"""A first rate of ten times what a server can do leaves nine times as much work as the load test was long."""
PAUSE_S = 0.2
REFUSED_LIMIT_S = 10.0
"""A server that nothing connects to for so long has gone, unless it is started anew."""
PROBE_LIMIT_S = 30.0
TELL_EVERY_S = 5.0
IN_FLIGHT = "dyno_requests_in_flight"

Tell = Callable[[str], None]


def _nobody(_: str) -> None:
    """Nobody listens."""


class Idle:
    """Calling it waits until the server at `url` is idle, and says in words why it is not after all.

    The wait is bounded by LIMIT_SHARE times the time since the call before, at least LEAST_LIMIT_S. `stopped`
    is asked between requests whether to give up.
    """

    def __init__(
        self,
        url: str,
        payload: Payload,
        *,
        tell: Tell = _nobody,
        stopped: Callable[[], bool] = lambda: False,
        least_limit_s: float = LEAST_LIMIT_S,
    ) -> None:
        self._url, self._payload, self._tell, self._stopped = url, payload, tell, stopped
        self._least_limit_s = least_limit_s
        self._usual_s: float | None = None
        self._most_s, self._most_in_flight = 0.0, 0.0
        self._refused_since_s: float | None = None
        self._left_s: float | None = None
        """When the last call returned."""

    def __call__(self) -> str:
        """Wait; return nothing, or why the server was not seen idle."""
        why = self._learn() if self._left_s is None else self._wait(time.monotonic() - self._left_s)
        self._left_s = time.monotonic()
        return why

    def _learn(self) -> str:
        """See what a single request takes. Where none is answered, the load test will say why."""
        found: list[float] = []
        began_s = time.monotonic()
        for _ in range(PROBES):
            seconds = self._probe(PROBE_LIMIT_S)
            found += [] if seconds is None else [seconds]
            if self._stopped() or time.monotonic() - began_s > LEARN_LIMIT_S:
                break
        if found:
            self._usual_s = statistics.median(found)
            self._most_s = max(SPARE_SHARE * self._usual_s + SPARE_S, *found)
            self._most_in_flight = self._in_flight() or 0.0
        return ""

    def _wait(self, loaded_s: float) -> str:
        if self._usual_s is None:
            return ""
        limit_s = max(self._least_limit_s, LIMIT_SHARE * loaded_s)
        began_s = told_s = time.monotonic()
        in_a_row, last = 0, "no answer"
        while (waited_s := time.monotonic() - began_s) < limit_s and not self._stopped():
            taken_s = self._probe(limit_s - waited_s)
            last = "a single request failed" if taken_s is None else f"one takes {1000 * taken_s:.4g} ms"
            in_a_row = in_a_row + 1 if taken_s is not None and taken_s <= self._most_s else 0
            if in_a_row >= IN_A_ROW:
                in_flight = self._in_flight() or 0.0
                if in_flight <= self._most_in_flight:
                    return ""
                last = f"it has {in_flight:g} requests in flight"
            if self._refused_since_s and time.monotonic() - self._refused_since_s > REFUSED_LIMIT_S:
                return f"nothing listens at {self._url} any more: the server ended"
            if taken_s is None or in_a_row >= IN_A_ROW:
                time.sleep(PAUSE_S)
            if time.monotonic() - told_s > TELL_EVERY_S:
                told_s = time.monotonic()
                self._tell(
                    f"waiting for the server to be idle: {last}, unloaded {1000 * self._usual_s:.4g} ms"
                )
        if self._stopped():
            return "the search was ended while it waited for the server to be idle"
        return (
            f"the server was not idle {time.monotonic() - began_s:.0f} s after a load test: {last}, and "
            f"{1000 * self._usual_s:.4g} ms before the first test"
        )

    def _probe(self, limit_s: float) -> float | None:
        """Seconds that one request takes; None where it fails."""
        began_s = time.monotonic()
        answered: list[tuple[int, float]] = []

        def ask() -> None:
            status = ask_server(self._url, "POST", limit_s, self._payload).status
            answered.append((status, time.monotonic() - began_s))

        # In a thread of its own, so that an interrupt need not wait for the answer.
        thread = threading.Thread(target=ask, name="idle-probe", daemon=True)
        thread.start()
        while thread.is_alive() and not self._stopped():
            thread.join(PAUSE_S)
        status, seconds = answered[0] if answered else (0, 0.0)
        self._refused_since_s = (self._refused_since_s or began_s) if status == REFUSED else None
        return seconds if 200 <= status < 300 else None

    def _in_flight(self) -> float | None:
        """Requests that the server says it has not answered; None where it does not say."""
        reply = ask_server(server_root(self._url) + "/metrics", "GET", PROBE_LIMIT_S)
        if reply.status != 200:
            return None
        for line in reply.body.decode(errors="replace").splitlines():
            name, _, value = line.partition(" ")
            if name == IN_FLIGHT:
                with suppress(ValueError):
                    return float(value)
        return None
