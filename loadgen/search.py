"""The highest rate that meets the limits: double until one fails, then halve the gap between the two.

A rate meets the limits when a load test at it is valid, its answers kept up with the arrivals, and each
limited number is within its limit. Each test is as long as its highest limited percentile needs. The answer
is a gap, from the highest rate that met the limits to the lowest that did not: the truth is somewhere in it,
as far as chance in the tests themselves allows; `certain` says where the confidence interval too is within
the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from dyno.errors import ConfigError, LoadTestError
from dyno.records import PERCENTILES, LoadResult, RateSearch, RateStep
from loadgen.intervals import fewest_samples

KEPT_UP = 0.95  # of what arrived in the window: fewer answers in it mean that a queue grows
SPARE = 1.1  # times the planned window: for so long a test may wait for its samples
MAX_STEPS = 40
SMALLEST_SHARE = 1 / 16  # of the first guess: below it nothing is tried
ERROR_RATE = "error_rate"
NAMES = (*(f"p{percent:g}_ms" for percent in PERCENTILES), ERROR_RATE)

Measure = Callable[[float], LoadResult]


def parse_limits(texts: tuple[str, ...]) -> dict[str, float]:
    """Turn `p99_ms=50` texts into limits; without an error_rate, it is 1 %.

    Raises:
        ConfigError: an unknown name, no number above 0, or no limit on a percentile.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            limits[name.strip()] = float(value)
        except ValueError:
            limits[name.strip()] = -1.0
        if name.strip() not in NAMES or not 0 < limits[name.strip()] < float("inf"):
            raise ConfigError(f"--limit {text}: expected NAME=NUMBER, NAME one of {', '.join(NAMES)}")
    if not limits.keys() - {ERROR_RATE}:
        raise ConfigError("a search needs a limit on a percentile, e.g. --limit p99_ms=50")
    return {ERROR_RATE: 0.01, **limits}


def samples_needed(limits: Mapping[str, float]) -> int:
    """How many requests a step needs so that each limited percentile can be stated."""
    shares = [float(name[1:-3]) / 100 for name in limits if name != ERROR_RATE]
    return max(map(fewest_samples, shares))


def planned_samples(needed: int) -> int:
    """How many requests a step is planned to send: by chance alone fewer than `needed` would come often."""
    return math.ceil(needed + 3 * math.sqrt(needed))


def find_rate(
    measure: Measure,
    limits: Mapping[str, float],
    *,
    url: str,
    start_rps: float,
    precision: float,
    least_rps: float = 0.0,
    most_steps: int = MAX_STEPS,
    on_step: Callable[[RateStep], None] | None = None,
) -> RateSearch:
    """Search from `start_rps` until the gap is at most `precision` of its lower end, in `most_steps` tests.

    Rates below `least_rps` are not tried: a test of them would be too short to say anything. A rate at which
    nothing is answered does not meet the limits.
    """
    smallest = max(least_rps, start_rps * SMALLEST_SHARE)
    steps: list[RateStep] = []
    met: float | None = None
    failed: float | None = None
    rate = start_rps
    while len(steps) < most_steps and not _narrow(met, failed, precision) and rate >= smallest:
        steps.append(_step(rate, measure, limits))
        if on_step:
            on_step(steps[-1])
        met, failed = (rate, failed) if steps[-1].met else (met, rate)
        rate = _next(met, failed)
    return RateSearch(url=url, limits=dict(limits), met_rps=met, failed_rps=failed, steps=tuple(steps))


def _step(rate_rps: float, measure: Measure, limits: Mapping[str, float]) -> RateStep:
    try:
        return judge(rate_rps, measure(rate_rps), limits)
    except LoadTestError as error:
        return RateStep(
            rate_rps=rate_rps,
            met=False,
            certain=False,
            reasons=(str(error),),
            figures=dict.fromkeys(limits),
            throughput_rps=0.0,
            samples=0,
        )


def judge(rate_rps: float, result: LoadResult, limits: Mapping[str, float]) -> RateStep:
    """Hold one load test against the limits."""
    reasons = list(result.invalid_reasons)
    if result.scenario is not None:
        reasons += result.scenario.reasons
    figures: dict[str, float | None] = {}
    certain = True
    # Not of the rate itself: of some hundred Poisson arrivals 5 % more or less come by chance alone.
    arrived_rps = arrived(result)
    if result.throughput_rps.value < KEPT_UP * arrived_rps:
        reasons.append(f"{result.throughput_rps.value:.4g} of {arrived_rps:.4g} requests/s were answered")
    for name, limit in limits.items():
        value, high = _figure(result, name)
        figures[name] = value
        certain = certain and high is not None and high <= limit
        if value is None:
            reasons.append(f"{name} can't be stated from {result.samples} samples")
        elif value > limit:
            reasons.append(f"{name} is {value:.4g}, limit {limit:g}")
    return RateStep(
        rate_rps=rate_rps,
        met=not reasons,
        certain=certain and not reasons,
        reasons=tuple(reasons),
        figures=figures,
        throughput_rps=result.throughput_rps.value,
        samples=result.samples,
    )


def arrived(result: LoadResult) -> float:
    """Requests a second that arrived in the window and were answered, however late."""
    return result.samples / result.window_s


def _figure(result: LoadResult, name: str) -> tuple[float | None, float | None]:
    """Give a number and the upper end of its interval."""
    if name == ERROR_RATE:
        return result.error_rate, result.error_rate
    entry = next(each for each in result.percentiles if f"p{each.percentile:g}_ms" == name)
    return entry.ms, entry.high_ms


def _next(met: float | None, failed: float | None) -> float:
    if failed is None:
        return 2 * (met or 0.0)
    return failed / 2 if met is None else (met + failed) / 2


def _narrow(met: float | None, failed: float | None, precision: float) -> bool:
    return met is not None and failed is not None and failed - met <= precision * met
