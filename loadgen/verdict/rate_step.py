"""One load test of a search, held against the limits: met, missed, or void."""

from __future__ import annotations

from collections.abc import Mapping

from modeldyno.base.records.load import LoadResult, RateStep
from modeldyno.loadgen.spec.limit_names import ERROR_RATE
from modeldyno.loadgen.spec.limit_plan import KEPT_UP


def without_figures(rate_rps: float, reason: str, limits: Mapping[str, float], *, void: bool) -> RateStep:
    """Record a load test that has no numbers, for this reason."""
    return RateStep(
        rate_rps=rate_rps,
        met=False,
        certain=False,
        reasons=(reason,),
        void=void,
        figures=dict.fromkeys(limits),
        throughput_rps=0.0,
        samples=0,
    )


def judge(rate_rps: float, result: LoadResult, limits: Mapping[str, float]) -> RateStep:
    """Hold one load test against the limits; a void one is void, whatever its numbers are.

    Unless all that voids it is the bound on requests in flight: then the server got less than was asked for,
    and missed a limit for certain if it did so for what was really sent. A test with too few samples for a
    limited percentile says nothing either, where it misses no other limit.
    """
    if is_void(result, limits):
        figures = {name: _figure(result, name)[0] for name in limits}
        step = without_figures(rate_rps, "; ".join(result.invalid_reasons), limits, void=True)
        rate = result.throughput_rps.value
        return step.model_copy(update={"figures": figures, "throughput_rps": rate, "samples": result.samples})
    reasons, unstated = list(result.invalid_reasons), []
    if result.scenario is not None:
        reasons += result.scenario.reasons
    figures = {}
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
            unstated.append(f"{name} can't be stated from {result.samples} samples")
        elif value > limit:
            reasons.append(f"{name} is {value:.4g}, limit {limit:g}")
    return RateStep(
        rate_rps=rate_rps,
        met=not reasons and not unstated,
        certain=certain and not reasons and not unstated,
        reasons=(*reasons, *unstated),
        void=bool(unstated) and not reasons,  # it says nothing of the limit
        figures=figures,
        throughput_rps=result.throughput_rps.value,
        samples=result.samples,
    )


def is_void(result: LoadResult, limits: Mapping[str, float]) -> bool:
    """Whether a load test says nothing of the server: neither valid nor missed for what was really sent."""
    return not result.valid and not (result.only_held_back and missed_as_sent(result, limits))


def missed_as_sent(result: LoadResult, limits: Mapping[str, float]) -> bool:
    """Whether a limited percentile is missed, counted from when each request was really sent."""
    found = {f"p{entry.percentile:g}_ms": entry.low_ms for entry in result.sent_percentiles}
    return any((low := found.get(name)) is not None and low > limit for name, limit in limits.items())


def arrived(result: LoadResult) -> float:
    """Requests a second that arrived in the window and were answered, however late."""
    return result.samples / result.window_s


def _figure(result: LoadResult, name: str) -> tuple[float | None, float | None]:
    """Give a number and the upper end of its interval."""
    if name == ERROR_RATE:
        return result.error_rate, result.error_rate
    entry = next(each for each in result.percentiles if f"p{each.percentile:g}_ms" == name)
    return entry.ms, entry.high_ms
