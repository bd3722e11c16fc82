"""How well the generator did: how late it sent, how late its event loop was, how busy it was; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.usage import Spread, WorkerUsage
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.stats.hdr import encode_histogram
from modeldyno.loadgen.stats.intervals import quantile_rank
from modeldyno.loadgen.stats.recording import US_PER_S, Ints, Recording


def lateness(recording: Recording, window: tuple[int, int]) -> Spread | None:
    """How late the requests of the window were sent, failed ones included; None of none."""
    lag_us = np.concatenate(
        (
            recording.lag_us[_within(recording.start_us, window)],
            recording.failure_lag_us[_within(recording.failure_start_us, window)]
            if len(recording.failure_lag_us)
            else recording.failure_lag_us,
        )
    )
    return spread(lag_us)


def loop_lag(recording: Recording, window: tuple[int, int]) -> Spread | None:
    """How late the event loop was in the window; None when nobody looked."""
    return spread(recording.loop_lag_us[_within(recording.loop_at_us, window)])


def worker_usage(parts: Sequence[Recording], spec: LoadSpec, window_s: float) -> tuple[WorkerUsage, ...]:
    """Say of each process how much it sent and how it kept up."""
    first = round(spec.warmup_s * US_PER_S)
    window = (first, first + round(window_s * US_PER_S))
    return tuple(_usage(number, part, spec, window) for number, part in enumerate(parts, 1))


def spread(values_us: Ints) -> Spread | None:
    """Median, 99th percentile, maximum and histogram of times in microseconds."""
    if not len(values_us):
        return None
    ordered = np.sort(values_us)
    return Spread(
        samples=len(ordered),
        p50_ms=float(ordered[quantile_rank(len(ordered), 0.5) - 1]) / US_PER_MS,
        p99_ms=float(ordered[quantile_rank(len(ordered), 0.99) - 1]) / US_PER_MS,
        max_ms=float(ordered[-1]) / US_PER_MS,
        histogram=encode_histogram(ordered),
    )


def _usage(number: int, part: Recording, spec: LoadSpec, window: tuple[int, int]) -> WorkerUsage:
    sent = _within(part.start_us, window).sum() + _within(part.failure_start_us, window).sum()
    return WorkerUsage(
        worker=number,
        host=part.host,
        pid=part.pid,
        requests=int(sent),
        cpu_cores_mean=_mean_growth(part.loop_cpu_us, part, window),
        awake_cores_mean=_mean_growth(part.loop_awake_us, part, window),
        lateness=lateness(part, window) if spec.rate_rps is not None else None,
        loop_lag=loop_lag(part, window),
    )


def _mean_growth(total_us: Ints, part: Recording, window: tuple[int, int]) -> float | None:
    """How much a total grew between the first and the last look in the window, over the time between them."""
    inside = np.flatnonzero(_within(part.loop_at_us, window))
    if len(inside) < 2 or not len(total_us):
        return None
    first, last = inside[0], inside[-1]
    used = float(total_us[last] - total_us[first])
    return used / float(part.loop_at_us[last] - part.loop_at_us[first])


def _within(times_us: Ints, window: tuple[int, int]) -> npt.NDArray[np.bool_]:
    return (times_us >= window[0]) & (times_us < window[1])
