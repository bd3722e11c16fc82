"""A candidate's highest rate that meets the limits: where its search starts, and how sure its end is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modeldyno.base.errors import LoadTestError
from modeldyno.base.records.load import standing
from modeldyno.base.records.run import Estimate, Limits, LoadResult, LoadSpec, RateSearch, ServerSettings
from modeldyno.loadgen.search import (
    ERROR_RATE,
    KEPT_UP,
    SPARE,
    Idle,
    arrived,
    find_rate,
    missed_as_sent,
    planned_samples,
    samples_needed,
)
from modeldyno.loadgen.spec.mlperf import EARLY_STOPPING_SHARE, PERCENTILES, SERVER, within_needed
from modeldyno.loadgen.spec.stop_rules import share_low
from modeldyno.trials.measure.orders import PROBE_S, SearchOrder

METHOD = (
    "of a search: from the highest rate that met the limits with the upper ends of its percentiles' 95 % "
    "intervals to the lowest that missed one with a lower end, or fell behind"
)
PROBE_WARMUP_S = 0.5
START_SHARE = 0.5

Measure = Callable[[LoadSpec], LoadResult]


@dataclass(frozen=True)
class Plan:
    """How one candidate is searched."""

    spec: LoadSpec
    limits: dict[str, float]
    how: SearchOrder

    @property
    def samples(self) -> int:
        """Requests that one test sends at least, so that each limited percentile can be stated."""
        needed = samples_needed(self.limits)
        if self.spec.scenario:
            needed = max(needed, EARLY_STOPPING_SHARE * within_needed(0, PERCENTILES[SERVER]))
        return planned_samples(needed)

    @property
    def least_rps(self) -> float:
        """Below it the longest window is too short for these samples."""
        return self.samples / self.how.longest_s


def search_limits(limits: Limits) -> dict[str, float]:
    """Give the limits that decide at each rate, by the search's names."""
    named = {"p50_ms": limits.p50_ms, "p95_ms": limits.p95_ms, "p99_ms": limits.p99_ms}
    found = {name: value for name, value in named.items() if value is not None}
    return found if limits.error_rate is None else {ERROR_RATE: limits.error_rate, **found}


def search(plan: Plan, settings: ServerSettings, measure: Measure, idle: Idle) -> RateSearch:
    """Search from where the job says, or from half of what a closed loop gets.

    `idle` waits between load tests until the server is idle (loadgen.server.idle).

    Raises:
        LoadTestError: nothing is answered, or too slowly for one test to state what is limited.
    """
    start_rps, why = _start(plan, settings, measure)

    def at(rate_rps: float) -> LoadResult:
        step = {
            "rate_rps": rate_rps,
            "min_samples": plan.samples,
            "max_duration_s": max(plan.spec.duration_s, SPARE * plan.how.longest_s),
        }
        return measure(plan.spec.model_copy(update=step))

    found = find_rate(
        at,
        plan.limits,
        url=plan.spec.url,
        start_rps=start_rps,
        precision=plan.how.precision,
        idle=idle,
        least_rps=plan.least_rps,
        most_steps=plan.how.max_tests,
    )
    return found.model_copy(update={"began": why})


def _start(plan: Plan, settings: ServerSettings, measure: Measure) -> tuple[float, str]:
    if plan.how.start_rps is not None:
        rate_rps, why = plan.how.start_rps, "the job says so"
        if rate_rps < plan.least_rps:
            raise LoadTestError(f"at {rate_rps:g} requests/s {_too_slow(plan)}")
        return rate_rps, why
    users = 2 * settings.workers * settings.processes * settings.max_batch
    answered_rps = measure(_probe(plan.spec, users)).throughput_rps.value
    if answered_rps < plan.least_rps:
        raise LoadTestError(f"{users} users got {answered_rps:.3g} answers a second: {_too_slow(plan)}")
    start_rps = max(START_SHARE * answered_rps, plan.least_rps)
    got = f"{users} users of a closed loop got {answered_rps:.4g} answers a second"
    half = START_SHARE * answered_rps >= plan.least_rps
    why = f"half of what {got}" if half else f"the lowest that a test is long enough for; {got}"
    return start_rps, why


def _probe(spec: LoadSpec, users: int) -> LoadSpec:
    """A short closed loop with the bodies and the time-out of a load test at a rate."""
    return LoadSpec(
        url=spec.url,
        users=users,
        warmup_s=PROBE_WARMUP_S,
        duration_s=PROBE_S - PROBE_WARMUP_S,
        timeout_s=spec.timeout_s,
        seed=spec.seed,
    )


def _too_slow(plan: Plan) -> str:
    return (
        f"the limits need {plan.samples} requests in a load test, which is at least {plan.least_rps:.3g} "
        f"requests/s over load.max_duration_s ({plan.how.longest_s:g} s): make that longer"
    )


def found_rate(found: RateSearch, points: Sequence[LoadResult]) -> Estimate | None:
    """The rate that was found, with how far the truth may be from it; None where none met the limits.

    `low` is the highest rate that met the limits with certainty, 0 where none did; `high` the lowest above
    `value` that missed them with certainty, infinite where none did. Both go by 95 % intervals.
    """
    if found.met_rps is None:
        return None
    certain = [step.rate_rps for step in found.steps if step.met and step.certain]
    missed = [
        step.rate_rps
        for step in found.steps
        if step.rate_rps > found.met_rps
        and not step.void
        and certainly_missed(step.rate_rps, points, found.limits)
    ]
    low = max((rate for rate in certain if rate <= found.met_rps), default=0.0)
    return Estimate(value=found.met_rps, low=low, high=min(missed, default=float("inf")), method=METHOD)


def certainly_missed(rate_rps: float, points: Sequence[LoadResult], limits: Mapping[str, float]) -> bool:
    """Whether the test at this rate missed a limit with the near end of a 95 % interval too.

    A rate at which nothing was answered has no test.
    """
    point = point_at(rate_rps, points)
    if point is None:
        return True
    if not point.valid:
        # The generator fell behind, not the server; unless it missed with less than was asked for.
        return point.only_held_back and missed_as_sent(point, limits)
    for entry in point.percentiles:
        limit = limits.get(f"p{entry.percentile:g}_ms")
        if limit is not None and entry.low_ms is not None and entry.low_ms > limit:
            return True
    if point.errors and share_low(point.errors, point.errors + point.samples) > limits.get(ERROR_RATE, 1.0):
        return True
    return point.throughput_rps.high < KEPT_UP * arrived(point)


def point_at(rate_rps: float, points: Sequence[LoadResult]) -> LoadResult | None:
    """Return the load test at this rate; of several the one that stands."""
    return standing(point for point in points if point.spec.rate_rps == rate_rps)
