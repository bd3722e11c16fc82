"""One result from the load tests of a level in several rounds, each in a server of its own; pure.

Counts are added up, throughput is the mean, percentiles are those of all requests together, from their HDR
histograms (at most 0.05 % off). Their intervals are by order statistics, of as many independent requests as
the rounds are worth together, and no narrower than what rounds differ by (`trials.whole.between`). Void
rounds are left out where there is a valid one. What can't be added (the kinds of a mix, the load
generator's own processes, the metric of an MLPerf scenario) is that of one round: of a scenario the worst.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from modeldyno.base.records.load import (
    PERCENTILES,
    ErrorGroup,
    LoadResult,
    Outcome,
    Percentile,
    Scenario,
    TimelinePoint,
)
from modeldyno.base.records.usage import MachineUsage, ResourceUsage, Spread
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.stats.intervals import effective_ranks, fewest_samples, quantile_rank
from modeldyno.loadgen.verdict.caveats import sample_caveats
from modeldyno.trials.compare.latencies import Ints, decoded, encoded
from modeldyno.trials.whole.between import UNKNOWN, Between, between_rounds, mean_of, widened

NUMBER = re.compile(r"[\d.,]+")


@dataclass(frozen=True)
class Spreads:
    """What rounds differ by."""

    throughput: Between = UNKNOWN
    percentiles: Mapping[float, Between] = field(default_factory=dict)


def standing(points: Sequence[LoadResult]) -> Sequence[LoadResult]:
    """The valid tests of one level; where none is, all."""
    return [point for point in points if point.valid] or points


def spreads_of(levels: Iterable[Sequence[LoadResult]]) -> Spreads:
    """Pool what rounds differ by over all levels of all candidates; void tests tell nothing."""
    found = [[point for point in level if point.valid] for level in levels]
    rates = [[point.throughput_rps.value for point in level] for level in found]
    return Spreads(
        between_rounds([rate for rate in level if rate > 0] for level in rates),
        {
            percent: between_rounds(
                [ms for point in level if (ms := point.percentile_ms(percent))] for level in found
            )
            for percent in PERCENTILES
        },
    )


def combined(points: Sequence[LoadResult], spreads: Spreads) -> LoadResult:
    """Sum up the tests of one level; at least one."""
    tests = standing(points)
    first, latency_us = tests[0], np.sort(np.concatenate([_latencies(test) for test in tests]))
    samples, errors = sum(test.samples for test in tests), sum(test.errors for test in tests)
    whole = first.model_copy(
        update={
            "window_s": math.fsum(test.window_s for test in tests),
            "samples": samples,
            "errors": errors,
            "error_rate": errors / (samples + errors) if samples + errors else 0.0,
            "error_groups": tuple(_error_groups(tests)),
            "outcomes": tuple(_outcomes(tests)),
            "throughput_rps": mean_of([test.throughput_rps for test in tests], spreads.throughput),
            "mean_ms": _mean_ms(tests),
            "min_ms": _of(min, (test.min_ms for test in tests)),
            "max_ms": _of(max, (test.max_ms for test in tests)),
            "percentiles": tuple(_percentiles(tests, latency_us, spreads)),
            "held_back": sum(test.held_back for test in tests),
            "sent_percentiles": next((test.sent_percentiles for test in tests if test.held_back), ()),
            "lateness_p99_ms": _of(max, (test.lateness_p99_ms for test in tests)),
            "lateness": _pooled(test.lateness for test in tests),
            "loop_lag": _pooled(test.loop_lag for test in tests),
            "steady_from_s": _of(max, (test.steady_from_s for test in tests)),
            "histogram": encoded(latency_us) if len(latency_us) else "",
            "timeline": tuple(_timeline(tests)),
            "scenario": _worst([test.scenario for test in tests if test.scenario]),
            "server": _usage([test.server for test in tests]),
            "generator": _usage([test.generator for test in tests]) or first.generator,
            "machine": _machine([test.machine for test in tests if test.machine]),
            "invalid_reasons": tuple(dict.fromkeys(why for test in tests for why in test.invalid_reasons)),
        }
    )
    return whole.model_copy(update={"warnings": tuple(_warnings(tests, whole))})


def _latencies(test: LoadResult) -> Ints:
    return decoded(test.histogram) if test.samples and test.histogram else np.empty(0, np.int64)


def _percentiles(tests: Sequence[LoadResult], latency_us: Ints, spreads: Spreads) -> Iterator[Percentile]:
    for percent in PERCENTILES:
        share, samples = percent / 100, len(latency_us)
        if samples < fewest_samples(share):
            yield Percentile(percentile=percent, ms=None, low_ms=None, high_ms=None)
            continue
        worth = sum(_worth(test, percent) for test in tests)
        low, high = effective_ranks(samples, max(1, min(samples, worth)), share)
        ms = float(latency_us[quantile_rank(samples, share) - 1]) / US_PER_MS
        low_ms, high_ms = (
            None if at is None else float(latency_us[at - 1]) / US_PER_MS for at in (low, high)
        )
        half = spreads.percentiles.get(percent, UNKNOWN).half(len(tests))
        wide_low, wide_high = widened(ms, (ms, ms), half)
        yield Percentile(
            percentile=percent,
            ms=ms,
            low_ms=None if low_ms is None else min(low_ms, wide_low),
            high_ms=None if high_ms is None else max(high_ms, wide_high),
            effective_samples=worth,
        )


def _worth(test: LoadResult, percent: float) -> int:
    """Independent requests of one round; all of them, where it was too short to tell."""
    found = next((each for each in test.percentiles if each.percentile == percent), None)
    return test.samples if found is None or found.effective_samples is None else found.effective_samples


def _error_groups(tests: Sequence[LoadResult]) -> Iterator[ErrorGroup]:
    groups = [group for test in tests for group in test.error_groups]
    kinds = dict.fromkeys((group.status, group.message) for group in groups)
    for status, message in kinds:
        count = sum(group.count for group in groups if (group.status, group.message) == (status, message))
        yield ErrorGroup(status=status, message=message, count=count)


def _outcomes(tests: Sequence[LoadResult]) -> Iterator[Outcome]:
    def kind(found: Outcome) -> tuple[str, str]:
        return found.endpoint, found.outcome

    for _, alike in groupby(sorted((one for test in tests for one in test.outcomes), key=kind), kind):
        same = list(alike)
        latency = _pooled(one.latency for one in same)
        assert latency is not None  # noqa: S101 - each outcome has one
        yield same[0].model_copy(update={"count": sum(one.count for one in same), "latency": latency})


def _pooled(spreads: Iterable[Spread | None]) -> Spread | None:
    found = [each for each in spreads if each is not None]
    if len(found) < 2:
        return found[0] if found else None
    values_us = np.sort(np.concatenate([decoded(each.histogram) for each in found]))
    p50_ms, p99_ms = (
        float(values_us[quantile_rank(len(values_us), share) - 1]) / US_PER_MS for share in (0.5, 0.99)
    )
    return Spread(
        samples=sum(each.samples for each in found),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        max_ms=max(each.max_ms for each in found),
        histogram=encoded(values_us),
    )


def _mean_ms(tests: Sequence[LoadResult]) -> float | None:
    found = [(test.mean_ms, test.samples) for test in tests if test.mean_ms is not None and test.samples]
    if not found:
        return None
    return math.fsum(mean * samples for mean, samples in found) / sum(samples for _, samples in found)


def _of(choose: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return choose(found) if found else None


def _timeline(tests: Sequence[LoadResult]) -> Iterator[TimelinePoint]:
    """One round behind the other."""
    begin = 0
    for test in tests:
        yield from (each.model_copy(update={"second": begin + each.second}) for each in test.timeline)
        begin += 1 + max((each.second for each in test.timeline), default=-1)


def _worst(found: Sequence[Scenario]) -> Scenario | None:
    """An invalid one, else the slowest."""

    def key(each: Scenario) -> tuple[bool, float]:
        value = -math.inf if each.value is None else each.value
        return each.valid, -value if each.unit == "ms" else value

    return min(found, key=key, default=None)


def _usage(found: Sequence[ResourceUsage | None]) -> ResourceUsage | None:
    seen = [each for each in found if each is not None]
    if not seen:
        return None
    largest = max(seen, key=lambda each: each.memory_mib_max)
    cores = math.fsum(each.cpu_cores_mean for each in seen) / len(seen)
    return largest.model_copy(update={"cpu_cores_mean": cores, "samples": sum(each.samples for each in seen)})


def _machine(found: Sequence[MachineUsage]) -> MachineUsage | None:
    """The round in which the machine did most beside the test."""
    return max(found, key=lambda each: each.other_cores_mean, default=None)


def _warnings(tests: Sequence[LoadResult], whole: LoadResult) -> Iterator[str]:
    """Of each kind the first; what is said of the number of requests is said of all together."""
    of_one = {text for test in tests for text in sample_caveats(test)}
    others = [text for test in tests for text in test.warnings if text not in of_one]
    yield from sample_caveats(whole)
    kinds = dict[str, str]()
    for text in others:
        kinds.setdefault(NUMBER.sub("", text), text)
    yield from kinds.values()
