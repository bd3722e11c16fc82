"""What the Locust child writes down: every request, in whole microseconds, to be summarised afterwards.

Four integers for each request in growing arrays (32 bytes: an hour at 1,000 a second is 115 MB) take about
as long as recording into one histogram (1.5 microseconds beside 1.1), and lose nothing: percentiles are
those of the requests themselves, slices and seconds are cut afterwards, and the HDR histogram of the result
is made from the same numbers.

What is counted where:

* Time 0 is the start of the test. The window begins when the warm-up ends and lasts exactly `duration_s`;
  in a closed loop that asks for `min_samples`, until these have succeeded or `max_duration_s` is over.
* A request belongs to the window when it *starts* in it: in a closed loop when it is sent, in an open loop
  when it is scheduled. Its latency or failure counts however late it ends; the load goes on, uncounted,
  until the last such request has ended, so that the last ones meet the same load as the first.
* Latency runs from that start to the last byte of the answer. In an open loop it includes any delay in
  sending.
* Throughput counts the successful requests that *end* in the window, whenever they started.
* A request fails when its status is not 2xx, when the connection fails, or when no whole answer has come
  `timeout_s` after its start. Redirects are not followed. Failures never enter the latencies.
"""

from __future__ import annotations

import io
import json
import os
import socket
from array import array
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.files import write_bytes

NS_PER_US = 1000
US_PER_S = 1_000_000
LONGEST_MESSAGE = 300

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FailureKind:
    """Failures that are told apart: by HTTP status, or by what happened when there was none."""

    status: int | None
    kind: str
    message: str
    """The first such failure, shortened."""


def _nothing() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Recording:
    """All finished requests of a load test; times in microseconds from its start, arrays of equal length."""

    start_us: Ints
    latency_us: Ints
    lag_us: Ints
    """Open loop: how late the generator itself sent each request; 0 in a closed loop."""
    failure_start_us: Ints
    failure_latency_us: Ints
    failure_kind: Ints
    """Index into `kinds`."""
    wait_us: Ints = field(default_factory=_nothing)
    """Open loop: how long each successful request waited for a connection of a full pool."""
    status: Ints = field(default_factory=_nothing)
    """HTTP status of each successful request; empty: 200."""
    failure_lag_us: Ints = field(default_factory=_nothing)
    """As lag_us."""
    kinds: tuple[FailureKind, ...] = ()
    arrivals: int = 0
    """Open loop: requests scheduled in the window."""
    held_back: int = 0
    """Open loop: how many of them found every connection of a full pool busy."""
    users: int = 0
    """Users at the end; in an open loop the size of the pool."""
    lost: int = 0
    """Requests of the window without an end when the test was over; 0 unless the generator is overwhelmed."""
    window_s: float | None = None
    """How long the window was, where it could be longer than asked."""
    loop_at_us: Ints = field(default_factory=_nothing)
    """When the generator's event loop was looked at (loadgen.generator.meter), ..."""
    loop_lag_us: Ints = field(default_factory=_nothing)
    """... how late it was, ..."""
    loop_cpu_us: Ints = field(default_factory=_nothing)
    """... the CPU time that the process had used by then, ..."""
    loop_awake_us: Ints = field(default_factory=_nothing)
    """... and how long its event loop had been kept awake for arrivals that were near."""
    host: str = ""
    """The machine of the generator's process."""
    pid: int = 0
    payload_kind: Ints = field(default_factory=_nothing)
    """Which kind of payload each successful request had."""
    failure_payload: Ints = field(default_factory=_nothing)


class Recorder:
    """Collects requests while the load runs; times come in as perf_counter nanoseconds."""

    def __init__(self, warmup_s: float, longest_s: float) -> None:
        self.window_us = (round(warmup_s * US_PER_S), round((warmup_s + longest_s) * US_PER_S))
        self.window_successes = 0
        """Successful requests that started in the window."""
        self.start_ns = 0
        self.in_flight = 0
        """Requests of the window that have begun and not ended."""
        self.arrivals = 0
        self.held_back = 0
        self.lost = 0
        self.start_us, self.latency_us, self.lag_us = array("q"), array("q"), array("q")
        self.status, self.wait_us = array("q"), array("q")
        self.failures = (array("q"), array("q"), array("q"), array("q"))
        self.payload_kind, self.failure_payload = array("q"), array("q")
        self._kinds: dict[tuple[int | None, str], tuple[int, FailureKind]] = {}

    @property
    def successes(self) -> int:
        """Successful requests so far, warm-up included."""
        return len(self.latency_us)

    @property
    def errors(self) -> int:
        """Failed requests so far, warm-up included."""
        return len(self.failures[0])

    def close(self, end_ns: int, waiting: Collection[int] = ()) -> None:
        """Set the end of the window, earlier than the longest; no request has started behind it yet.

        `waiting` are arrivals that have been taken and are not due yet: those behind the end no longer count.
        """
        before = self._number_in_window(waiting)
        self.window_us = (self.window_us[0], (end_ns - self.start_ns) // NS_PER_US)
        gone = before - self._number_in_window(waiting)
        self.in_flight -= gone
        self.arrivals -= gone

    def begin(self, start_ns: int) -> None:
        """A request starts (closed loop: is sent; open loop: is due)."""
        self.in_flight += self._in_window(start_ns)

    def succeed(
        self,
        start_ns: int,
        end_ns: int,
        lag_ns: int = 0,
        *,
        status: int = 200,
        payload_kind: int = 0,
        wait_ns: int = 0,
    ) -> None:
        """It has been answered."""
        self.payload_kind.append(payload_kind)
        counts = self._in_window(start_ns)
        self.in_flight -= counts
        self.window_successes += counts
        self.start_us.append((start_ns - self.start_ns) // NS_PER_US)
        self.latency_us.append(max(1, (end_ns - start_ns + NS_PER_US // 2) // NS_PER_US))
        self.lag_us.append(max(0, lag_ns) // NS_PER_US)
        self.status.append(status)
        self.wait_us.append(wait_ns // NS_PER_US)

    def fail(
        self, start_ns: int, end_ns: int, failure: FailureKind, lag_ns: int = 0, *, payload_kind: int = 0
    ) -> None:
        """It has failed."""
        self.failure_payload.append(payload_kind)
        self.in_flight -= self._in_window(start_ns)
        starts, latencies, kinds, lags = self.failures
        starts.append((start_ns - self.start_ns) // NS_PER_US)
        latencies.append((end_ns - start_ns) // NS_PER_US)
        kinds.append(self._number(failure))
        lags.append(max(0, lag_ns) // NS_PER_US)

    def arrive(self, due_ns: int, *, held_back: bool) -> None:
        """An arrival of an open loop has been taken from the schedule."""
        if self._in_window(due_ns):
            self.arrivals += 1
            self.held_back += held_back

    def miss(self, due_ns: int) -> None:
        """An arrival was never taken from the schedule."""
        self.lost += self._in_window(due_ns)

    def recording(self, users: int) -> Recording:
        """Everything so far."""
        failure_start_us, failure_latency_us, failure_kind, failure_lag_us = map(_ints, self.failures)
        return Recording(
            start_us=_ints(self.start_us),
            latency_us=_ints(self.latency_us),
            lag_us=_ints(self.lag_us),
            status=_ints(self.status),
            wait_us=_ints(self.wait_us),
            failure_start_us=failure_start_us,
            failure_latency_us=failure_latency_us,
            failure_kind=failure_kind,
            failure_lag_us=failure_lag_us,
            kinds=tuple(kind for _, kind in self._kinds.values()),
            arrivals=self.arrivals,
            held_back=self.held_back,
            users=users,
            lost=self.lost + self.in_flight,
            window_s=(self.window_us[1] - self.window_us[0]) / US_PER_S,
            host=socket.gethostname(),
            pid=os.getpid(),
            payload_kind=_ints(self.payload_kind),
            failure_payload=_ints(self.failure_payload),
        )

    def _in_window(self, start_ns: int) -> bool:
        first, end = self.window_us
        return first <= (start_ns - self.start_ns) // NS_PER_US < end

    def _number_in_window(self, starts_ns: Collection[int]) -> int:
        return sum(map(self._in_window, starts_ns))

    def _number(self, failure: FailureKind) -> int:
        key = (failure.status, failure.kind)
        if key not in self._kinds:
            short = FailureKind(failure.status, failure.kind, failure.message[:LONGEST_MESSAGE])
            self._kinds[key] = (len(self._kinds), short)
        return self._kinds[key][0]


def save_recording(path: Path, recording: Recording) -> None:
    """Write a recording as .npz, whole or not at all."""
    write_bytes(path, recording_bytes(recording))


def recording_bytes(recording: Recording) -> bytes:
    """Pack a recording as .npz."""
    arrays: dict[str, Any] = {
        name: value for name, value in vars(recording).items() if isinstance(value, np.ndarray)
    }
    facts = {name: value for name, value in vars(recording).items() if name not in arrays}
    facts["kinds"] = [vars(kind) for kind in recording.kinds]
    stream = io.BytesIO()
    np.savez(stream, facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), **arrays)
    return stream.getvalue()


def load_recording(path: Path) -> Recording:
    """Read a recording back."""
    # Opened here: numpy leaves a file that is none of its own open.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as bundle:
        arrays = {name: bundle[name] for name in bundle.files}
    facts = json.loads(arrays.pop("facts").tobytes())
    facts["kinds"] = tuple(FailureKind(**kind) for kind in facts["kinds"])
    return Recording(**arrays, **facts)


def _ints(values: array[int]) -> Ints:
    return np.array(values, dtype=np.int64)
