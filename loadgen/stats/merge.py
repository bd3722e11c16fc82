"""One recording out of those of several processes; pure.

Nothing is averaged: the requests are put side by side, so that every percentile, interval and histogram is
what a lone process that sent them all would have given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modeldyno.loadgen.stats.recording import FailureKind, Ints, Recording


def merged(parts: Sequence[Recording]) -> Recording:
    """Put recordings together; times of all count from the same start."""
    if len(parts) == 1:
        return parts[0]
    kinds: dict[tuple[int | None, str], tuple[int, FailureKind]] = {}
    numbers = [_renumbered(part, kinds) for part in parts]
    return Recording(
        start_us=_joined([part.start_us for part in parts]),
        latency_us=_joined([part.latency_us for part in parts]),
        lag_us=_joined([part.lag_us for part in parts]),
        failure_start_us=_joined([part.failure_start_us for part in parts]),
        failure_latency_us=_joined([part.failure_latency_us for part in parts]),
        failure_kind=_joined(numbers),
        status=_joined([part.status for part in parts]),
        wait_us=_joined([part.wait_us for part in parts]),
        failure_lag_us=_joined([part.failure_lag_us for part in parts]),
        kinds=tuple(kind for _, kind in kinds.values()),
        arrivals=sum(part.arrivals for part in parts),
        held_back=sum(part.held_back for part in parts),
        users=sum(part.users for part in parts),
        lost=sum(part.lost for part in parts),
        window_s=max((part.window_s for part in parts if part.window_s is not None), default=None),
        loop_at_us=_joined([part.loop_at_us for part in parts]),
        loop_lag_us=_joined([part.loop_lag_us for part in parts]),
        payload_kind=_joined([part.payload_kind for part in parts]),
        failure_payload=_joined([part.failure_payload for part in parts]),
    )


def _renumbered(part: Recording, kinds: dict[tuple[int | None, str], tuple[int, FailureKind]]) -> Ints:
    """Give a part's failures the numbers that their kinds have for all parts, adding kinds as they come."""
    new = []
    for kind in part.kinds:
        key = (kind.status, kind.kind)
        kinds.setdefault(key, (len(kinds), kind))
        new.append(kinds[key][0])
    return np.array(new, np.int64)[part.failure_kind] if new else part.failure_kind


def _joined(arrays: Sequence[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)
