"""How requests ended, and how long each way took: a histogram for every endpoint and status; pure.

A way to end is an HTTP status, or what happened when there was none: `timeout`, `refused`, `unsent`, or the
name of the client's error, e.g. `ConnectionResetError`; or `unexpected`, the right status with another
content. Times run from the same start as latency does: a failure that took long kept its user as long as an
answer would have.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from modeldyno.base.records.load import Outcome
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.stats.own_lag import spread
from modeldyno.loadgen.stats.recording import Ints, Recording

OK = 200
UNEXPECTED = "unexpected"
"""How a request ends whose answer has the right status and another content than was expected."""
NO_SOCKET = "no_socket"
"""How a request ends that this machine has no descriptor, port or memory for."""


def outcomes(recording: Recording, spec: LoadSpec, window: tuple[int, int]) -> tuple[Outcome, ...]:
    """Group the requests that started in the window by status, the most frequent group first."""
    endpoint = urlsplit(spec.url).path or "/"
    found = [
        Outcome(endpoint=endpoint, outcome=name, status=status, count=len(times_us), latency=times)
        for name, status, times_us in _groups(recording, window)
        if (times := spread(times_us)) is not None
    ]
    return tuple(sorted(found, key=lambda one: (-one.count, one.outcome)))


def statuses(recording: Recording) -> Ints:
    """HTTP status of each successful request."""
    if len(recording.status) == len(recording.start_us):
        return recording.status
    return np.full(len(recording.start_us), OK, np.int64)


def outcome_names(recording: Recording) -> tuple[str, ...]:
    """Name each kind of failure, in the order of the recording's kinds."""
    return tuple(
        kind.kind if kind.status is None or kind.kind == UNEXPECTED else str(kind.status)
        for kind in recording.kinds
    )


def _groups(recording: Recording, window: tuple[int, int]) -> Iterator[tuple[str, int | None, Ints]]:
    inside, found = _within(recording.start_us, window), statuses(recording)
    for status in np.unique(found[inside]).tolist():
        yield str(status), status, recording.latency_us[inside & (found == status)]
    failed = np.flatnonzero(_within(recording.failure_start_us, window))
    for number, name in enumerate(outcome_names(recording)):
        chosen = failed[recording.failure_kind[failed] == number]
        yield name, recording.kinds[number].status, recording.failure_latency_us[chosen]


def _within(times_us: Ints, window: tuple[int, int]) -> npt.NDArray[np.bool_]:
    return (times_us >= window[0]) & (times_us < window[1])
