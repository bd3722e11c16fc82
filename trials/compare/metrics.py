"""The metrics that pairs can be compared by, each as a statistic in which more is worse; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.trials.compare.blocks import Block, Pair
from modeldyno.trials.compare.flips.quantiles import pooled_quantile
from modeldyno.trials.compare.flips.statistic import Statistic, TrimmedMean

P50, THROUGHPUT, CPU = "p50_ms", "throughput_rps", "cpu_ms_per_request"
POOLED = ("p90_ms", "p95_ms", "p99_ms", "p99.9_ms")
METRICS = (P50, *POOLED, THROUGHPUT, CPU)
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)_ms")


def statistic_of(metric: str, pairs: Sequence[Pair]) -> Statistic:
    """The metric of these pairs, above 0 where the candidate is worse.

    Raises:
        ConfigError: there is no such metric, or the blocks lack it.
    """
    if metric in POOLED:
        return pooled_quantile(pairs, percentile_share(metric))
    if metric not in _VALUES:
        raise ConfigError(unknown_name("metric", metric, METRICS))
    value = _VALUES[metric]
    candidate, baseline = ([value(side) for side in sides] for sides in _sides(pairs))
    if not all([*candidate, *baseline]):
        raise ConfigError(f"{metric} can't be compared: it could not be read for every block")
    ratios = np.log(np.array(candidate, np.float64) / np.array(baseline, np.float64))
    return TrimmedMean(tuple(pair.number for pair in pairs), _sign(metric) * ratios)


def percentile_share(metric: str) -> float:
    """0.99 for p99_ms."""
    found = _PERCENTILE.fullmatch(metric)
    if found is None:
        raise ConfigError(unknown_name("percentile", metric, POOLED))
    return float(found[1]) / 100


def worse_log(metric: str, share: float) -> float:
    """A share by which the candidate is worse, as a log ratio: log 1.05 for latency, -log 0.95 for rates."""
    sign = _sign(metric)
    return sign * math.log1p(sign * share)


def worse_share(metric: str, log_ratio: float) -> float:
    """The inverse of `worse_log`; below 0 where the candidate is better."""
    sign = _sign(metric)
    return sign * math.expm1(sign * log_ratio)


def _sides(pairs: Sequence[Pair]) -> tuple[list[Block], list[Block]]:
    return [pair.candidate for pair in pairs], [pair.baseline for pair in pairs]


def _sign(metric: str) -> int:
    return -1 if metric == THROUGHPUT else 1


_VALUES: dict[str, Callable[[Block], float | None]] = {
    P50: lambda block: block.p50_us / 1000,
    THROUGHPUT: lambda block: block.requests / block.seconds,
    CPU: lambda block: None if block.cpu_s is None else 1000 * block.cpu_s / block.requests,
}
