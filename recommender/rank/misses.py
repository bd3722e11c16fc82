"""Judge a load test against the limits: what it misses, by how much, and where that is not certain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from modeldyno.base.records.levels import level_name, level_of
from modeldyno.base.records.load import LoadResult, Percentile
from modeldyno.base.records.run import Limits, Trial
from modeldyno.loadgen.spec.limit_names import named_limits
from modeldyno.loadgen.verdict.rate_step import is_void
from modeldyno.recommender.rank.paid import paid_usd_per_hour

INFINITE = float("inf")


class Miss(NamedTuple):
    """A limit that is not met; `factor` 2.0 is twice the limit, infinite where nobody can say."""

    reason: str
    factor: float
    unstated: bool = False
    """Whether the samples are too few to say whether it is met."""


def misses(point: LoadResult, trial: Trial, limits: Limits) -> Iterator[Miss]:
    """Every limit that `point` does not meet."""
    at = _level(point)
    if point.samples == 0 or point.throughput_rps.value <= 0:
        yield Miss(f"no request succeeded {at}", INFINITE)
    for percentile, limit_ms in limits.latency_ms.items():
        yield from _latency_misses(point, percentile, limit_ms)
    rate, least_rps, price = (
        point.throughput_rps.value,
        limits.throughput_rps,
        paid_usd_per_hour(trial, point),
    )
    if limits.error_rate is not None and point.error_rate > limits.error_rate:
        reason = f"error rate {point.error_rate:.2%} > {limits.error_rate:.2%} {at}"
        yield Miss(reason, _ratio(point.error_rate, limits.error_rate))
    if least_rps is not None and rate < least_rps:
        yield Miss(f"throughput {rate:.1f} rps < {least_rps:g} rps {at}", _ratio(least_rps, rate))
    if limits.usd_per_hour is not None and price > limits.usd_per_hour:
        yield Miss(
            f"price {price:g} USD/h > {limits.usd_per_hour:g} USD/h", _ratio(price, limits.usd_per_hour)
        )


def _latency_misses(point: LoadResult, percentile: float, limit_ms: float) -> Iterator[Miss]:
    found_ms = point.percentile_ms(percentile)
    if found_ms is None:
        reason = f"p{percentile:g} not stated: {point.samples} samples are too few {_level(point)}"
        yield Miss(reason, INFINITE, unstated=True)
    elif found_ms > limit_ms:
        reason = f"p{percentile:g} {found_ms:.1f} ms > {limit_ms:g} ms {_level(point)}"
        yield Miss(reason, found_ms / limit_ms)


def undecided(judged: Sequence[tuple[LoadResult, Sequence[Miss]]], limits: Limits) -> str:
    """Of load tests of which none meets the limits, say why that is no answer; empty where it is one.

    A void test says nothing of its level, nor does one with too few samples that misses no other limit.
    """
    named = named_limits(limits)
    return "; ".join(
        [
            *(
                f"the load test {_level(point)} is void: {'; '.join(point.invalid_reasons)}"
                for point, _ in judged
                if is_void(point, named)
            ),
            *(
                miss.reason
                for point, missed in judged
                if point.valid and all(miss.unstated for miss in missed)
                for miss in missed
            ),
        ]
    )


FAR = 2.0
"""Times the slowest request: a limit beyond is not in doubt, also where a percentile has no upper bound."""


def doubts(point: LoadResult, limits: Limits) -> Iterator[str]:
    """Warn where a 95 % interval holds the limit, so that a second run may be judged the other way.

    An interval without an upper bound holds every limit. One far beyond the slowest request is no doubt then:
    dependence between requests says how little is known of their order, not that others are ten times slower.
    """
    for entry in point.percentiles:
        limit_ms = limits.latency_ms.get(entry.percentile)
        if limit_ms is not None and entry.ms is not None and _straddles(entry, limit_ms, point.max_ms):
            low, high = _bound(entry.low_ms), _bound(entry.high_ms)
            yield (
                f"p{entry.percentile:g} is {entry.ms:.1f} ms, 95 % interval {low} to {high} ms: "
                f"whether it meets {limit_ms:g} ms is not certain"
            )
    rate, least_rps = point.throughput_rps, limits.throughput_rps
    if least_rps is not None and rate.low < least_rps <= rate.high:
        yield (
            f"throughput is {rate.value:.1f} rps, 95 % interval {rate.low:.1f} to {rate.high:.1f} rps: "
            f"whether it reaches {least_rps:g} rps is not certain"
        )


def _straddles(entry: Percentile, limit_ms: float, most_ms: float | None) -> bool:
    low_ms = 0.0 if entry.low_ms is None else entry.low_ms
    far_ms = INFINITE if most_ms is None else FAR * most_ms
    high_ms = far_ms if entry.high_ms is None else entry.high_ms
    return low_ms <= limit_ms < high_ms


def _bound(ms: float | None) -> str:
    return "unknown" if ms is None else f"{ms:.1f}"


def _ratio(larger: float, smaller: float) -> float:
    return larger / smaller if smaller > 0 else INFINITE


def _level(point: LoadResult) -> str:
    level = level_of(point.spec)
    name = level_name(level, lambda rate_rps: f"{rate_rps:g} requests/s")
    return f"{'in' if level.stage else 'at'} {name or 'an unknown load'}"
