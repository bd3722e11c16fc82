"""From the raw recording to the numbers of a LoadResult; pure.

When a percentile is stated: `ms` is given once there are enough samples for one of them to bound it from
above with 97.5 % confidence (`intervals.fewest_samples`: 6 for p50, 36 for p90, 72 for p95, 368 for p99,
3,688 for p99.9), else it is None. `high_ms` is None all the same when the samples depend on each other so
much that none of them is high enough. The value itself is the sample at rank ceil(n p): a latency that a
request really had, in whole microseconds.

What counts as in the window is said in `loadgen.stats.recording`; how intervals are made, in
`loadgen.stats.intervals` and `loadgen.stats.dependence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modeldyno.base.records.load import PERCENTILES, ErrorGroup, Outcome, Percentile, TimelinePoint
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate
from modeldyno.base.records.usage import Spread
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.stats.dependence import Dependence
from modeldyno.loadgen.stats.hdr import encode_histogram
from modeldyno.loadgen.stats.intervals import (
    SLICES,
    effective_ranks,
    fewest_samples,
    quantile_rank,
    slice_correlation,
    throughput_estimate,
)
from modeldyno.loadgen.stats.outcomes import outcomes
from modeldyno.loadgen.stats.own_lag import lateness, loop_lag
from modeldyno.loadgen.stats.recording import US_PER_S, Ints, Recording
from modeldyno.loadgen.stats.steady import steady_from_us


@dataclass(frozen=True)
class Summary:
    """The measured part of a LoadResult, and what its warnings rest on."""

    samples: int
    errors: int
    error_rate: float
    error_groups: tuple[ErrorGroup, ...]
    outcomes: tuple[Outcome, ...]
    throughput_rps: Estimate
    mean_ms: float | None
    min_ms: float | None
    max_ms: float | None
    percentiles: tuple[Percentile, ...]
    held_back: int
    """Requests of the window that waited for a connection of a full pool."""
    sent_percentiles: tuple[Percentile, ...]
    """From when each was really sent, where some waited."""
    lateness: Spread | None
    """Of the sender, in an open loop."""
    loop_lag: Spread | None
    """Of the generator's event loop."""
    histogram: str
    timeline: tuple[TimelinePoint, ...]
    steady_from_s: float | None
    """When latency settled; None when it never did, or too few requests say so."""
    mean_before_steady_ms: float | None
    """Of the window's requests before that moment (the middle where it never settled); None: none."""
    mean_steady_ms: float | None
    completed: int
    """Successful requests that ended in the window."""
    correlation: float
    """First autocorrelation of the slices' throughput."""

    @property
    def p50_ms(self) -> float | None:
        """Median latency; None when the samples are too few to state it."""
        return next(entry.ms for entry in self.percentiles if entry.percentile == 50.0)

    @property
    def lateness_p99_ms(self) -> float | None:
        """How late the generator itself sent; None in a closed loop."""
        return self.lateness.p99_ms if self.lateness else None


def summarise(recording: Recording, spec: LoadSpec, begin_s: float = 0.0) -> Summary:
    """Work out every number of a load test from its requests.

    A part of a longer test begins at `begin_s`: requests before that are no part of its time line, nor of the
    search for its steady state.
    """
    begin_us = round(begin_s * US_PER_S)
    window = (round(spec.warmup_s * US_PER_S), round((spec.warmup_s + spec.duration_s) * US_PER_S))
    inside = _within(recording.start_us, window)
    latency_us = recording.latency_us[inside]
    failed = _within(recording.failure_start_us, window)
    samples, errors = len(latency_us), int(failed.sum())
    completions = completions_by_slice(recording, window)
    up_to_end = (recording.start_us >= begin_us) & (recording.start_us < window[1])
    steady_us = steady_from_us(recording.start_us[up_to_end], recording.latency_us[up_to_end])
    early = recording.start_us[inside] < (sum(window) // 2 if steady_us is None else steady_us)
    return Summary(
        samples=samples,
        errors=errors,
        error_rate=errors / (samples + errors) if samples + errors else 0.0,
        error_groups=error_groups(recording, failed),
        outcomes=outcomes(recording, spec, window),
        throughput_rps=throughput_estimate(completions, spec.duration_s),
        mean_ms=_mean_ms(latency_us),
        min_ms=float(latency_us.min()) / US_PER_MS if samples else None,
        max_ms=float(latency_us.max()) / US_PER_MS if samples else None,
        percentiles=percentiles(recording.start_us[inside], latency_us),
        held_back=recording.held_back,
        sent_percentiles=_sent_percentiles(recording, inside),
        lateness=lateness(recording, window) if spec.rate_rps else None,
        loop_lag=loop_lag(recording, window),
        histogram=encode_histogram(latency_us),
        timeline=timeline(recording, window, steady_us)[begin_us // US_PER_S :],
        steady_from_s=None if steady_us is None else steady_us / US_PER_S,
        mean_before_steady_ms=_mean_ms(latency_us[early]),
        mean_steady_ms=_mean_ms(latency_us[~early]),
        completed=int(completions.sum()),
        correlation=slice_correlation(completions),
    )


def percentiles(start_us: Ints, latency_us: Ints) -> tuple[Percentile, ...]:
    """The PERCENTILES with their intervals, of requests in any order."""
    return tuple(_percentiles(start_us, latency_us, PERCENTILES))


def percentile_at(start_us: Ints, latency_us: Ints, percent: float) -> Percentile:
    """Any one percentile; arguments as those of `percentiles`."""
    return next(_percentiles(start_us, latency_us, (percent,)))


def _sent_percentiles(recording: Recording, inside: npt.NDArray[np.bool_]) -> tuple[Percentile, ...]:
    """Those of the chosen requests from when they were sent; none where no request had to wait."""
    if not recording.held_back or len(recording.wait_us) != len(recording.start_us):
        return ()
    waited_us = recording.wait_us[inside]
    return percentiles(recording.start_us[inside] + waited_us, recording.latency_us[inside] - waited_us)


def completions_by_slice(recording: Recording, window: tuple[int, int]) -> Ints:
    """Successful requests that ended in each of the equal slices of the window."""
    ends = recording.start_us + recording.latency_us
    return np.bincount(slice_numbers(ends[_within(ends, window)], window), minlength=SLICES)


def slice_numbers(times_us: Ints, window: tuple[int, int]) -> Ints:
    """Slice (0 to SLICES - 1) of each time in the window."""
    first, end = window
    numbers: Ints = (times_us - first) * SLICES // (end - first)
    return numbers


def error_groups(recording: Recording, chosen: npt.NDArray[np.bool_]) -> tuple[ErrorGroup, ...]:
    """The chosen failures, counted by kind, most frequent first."""
    counts = np.bincount(recording.failure_kind[chosen], minlength=len(recording.kinds))
    groups = [
        ErrorGroup(status=kind.status, message=kind.message, count=int(count))
        for kind, count in zip(recording.kinds, counts, strict=True)
        if count
    ]
    return tuple(sorted(groups, key=lambda group: -group.count))


def timeline(
    recording: Recording, window: tuple[int, int], steady_us: int | None = None
) -> tuple[TimelinePoint, ...]:
    """Each second up to the window's end, by start of the request; `requests` counts the failed ones too.

    A second that begins in the warm-up is marked as warm-up, one that begins settled as steady. Percentiles
    are the second's own samples, however few.
    """
    first, end = window
    seconds = -(-end // US_PER_S)
    started = _seconds(recording.start_us, end)
    failed = np.bincount(_seconds(recording.failure_start_us, end), minlength=seconds)
    order = np.argsort(started, kind="stable")
    latency_us = recording.latency_us[recording.start_us < end][order]
    groups = np.split(latency_us, np.searchsorted(started[order], np.arange(1, seconds)))
    return tuple(
        TimelinePoint(
            second=second,
            requests=len(group) + int(failed[second]),
            errors=int(failed[second]),
            p50_ms=_nearest_ms(group, 50.0),
            p99_ms=_nearest_ms(group, 99.0),
            warmup=second * US_PER_S < first,
            steady=None if steady_us is None else second * US_PER_S >= steady_us,
        )
        for second, group in enumerate(groups)
    )


def _percentiles(start_us: Ints, latency_us: Ints, percents: Sequence[float]) -> Iterator[Percentile]:
    ordered = np.sort(latency_us)
    dependence = Dependence(latency_us[np.argsort(start_us, kind="stable")], ordered)
    samples = len(ordered)
    for percent in percents:
        share = percent / 100
        if samples < fewest_samples(share):
            yield Percentile(percentile=percent, ms=None, low_ms=None, high_ms=None)
            continue
        effective = dependence.effective_samples(share)
        low, high = effective_ranks(samples, effective, share)
        yield Percentile(
            percentile=percent,
            ms=float(ordered[quantile_rank(samples, share) - 1]) / US_PER_MS,
            low_ms=_at_rank(ordered, low),
            high_ms=_at_rank(ordered, high),
            effective_samples=effective,
        )


def _mean_ms(values_us: Ints) -> float | None:
    return float(values_us.mean()) / US_PER_MS if len(values_us) else None


def _at_rank(ordered: Ints, rank: int | None) -> float | None:
    return None if rank is None else float(ordered[rank - 1]) / US_PER_MS


def _nearest_ms(values_us: Ints, percent: float) -> float | None:
    if not len(values_us):
        return None
    rank = quantile_rank(len(values_us), percent / 100)
    return float(np.partition(values_us, rank - 1)[rank - 1]) / US_PER_MS


def _within(times_us: Ints, window: tuple[int, int]) -> npt.NDArray[np.bool_]:
    first, end = window
    return (times_us >= first) & (times_us < end)


def _seconds(times_us: Ints, end: int) -> Ints:
    seconds: Ints = times_us[times_us < end] // US_PER_S
    return seconds
