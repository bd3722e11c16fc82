"""A candidate's highest rate that meets the limits: where its search starts, and how sure its end is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modeldyno.base.errors import LoadTestError
from modeldyno.base.records.load import LoadResult, RateSearch, RateStep, standing
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import Limits, ServerSettings
from modeldyno.loadgen.search import Idle, SearchPlan, confirm_rate, find_rate
from modeldyno.loadgen.spec.limit_names import ERROR_RATE, named_limits
from modeldyno.loadgen.spec.limit_plan import KEPT_UP
from modeldyno.loadgen.spec.rate_tests import RateTests
from modeldyno.loadgen.spec.stop_rules import share_low
from modeldyno.loadgen.verdict.rate_step import arrived, missed_as_sent
from modeldyno.trials.measure.orders import PROBE_S, SearchOrder

METHOD = (
    "of a search: from the highest rate that met the limits with the upper ends of its percentiles' 95 % "
    "intervals to the lowest that missed one with a lower end, or fell behind"
)
PROBE_WARMUP_S = 0.5
CONFIRM_S = 10.0
"""Shortest window of a confirmation, unless the longest of a test is shorter."""
START_SHARE = 0.5

Measure = Callable[[LoadSpec], LoadResult]


@dataclass(frozen=True)
class CandidateSearch:
    """How one candidate is searched."""

    tests: RateTests
    how: SearchOrder


def candidate_search(spec: LoadSpec, limits: Limits, how: SearchOrder) -> CandidateSearch:
    """Search with load tests like `spec` for the highest rate that meets the limits."""
    return CandidateSearch(RateTests(spec, named_limits(limits), how.longest_s), how)


def search(plan: CandidateSearch, settings: ServerSettings, measure: Measure, idle: Idle) -> RateSearch:
    """Search from where the job says, or from half of what a closed loop gets.

    `idle` waits between load tests until the server is idle (loadgen.server.idle).

    Raises:
        LoadTestError: nothing is answered, or too slowly for one test to state what is limited.
    """
    tests = plan.tests
    start_rps, why = _start(plan, settings, measure)

    def at(rate_rps: float) -> LoadResult:
        return measure(tests.at(rate_rps))

    how = SearchPlan(tests.limits, start_rps, plan.how.precision, tests.least_rps, plan.how.max_tests)
    found = find_rate(at, how, url=tests.spec.url, idle=idle)
    return found.model_copy(update={"began": why})


def confirmation_s(how: SearchOrder, duration_s: float) -> float:
    """Seconds that a confirmation counts at least, where other tests of the search count `duration_s`."""
    return max(duration_s, min(CONFIRM_S, how.longest_s))


def confirm(plan: CandidateSearch, rate_rps: float, measure: Measure, idle: Idle) -> RateSearch:
    """Try a rate in a new server that a search found in another; the steps are those of this start.

    Raises:
        LoadTestError: the load test could not be run at all.
    """
    tests, spec = plan.tests, plan.tests.at(rate_rps)
    spec = spec.model_copy(update={"duration_s": confirmation_s(plan.how, spec.duration_s)})
    return confirm_rate(lambda: measure(spec), rate_rps, tests.limits, url=spec.url, idle=idle)


def _start(plan: CandidateSearch, settings: ServerSettings, measure: Measure) -> tuple[float, str]:
    if plan.how.start_rps is not None:
        rate_rps, why = plan.how.start_rps, "the job says so"
        if rate_rps < plan.tests.least_rps:
            raise LoadTestError(f"at {rate_rps:g} requests/s {_too_slow(plan)}")
        return rate_rps, why
    users = 2 * settings.workers * settings.processes * settings.max_batch
    answered_rps = measure(_probe(plan.tests.spec, users)).throughput_rps.value
    if answered_rps < plan.tests.least_rps:
        raise LoadTestError(f"{users} users got {answered_rps:.3g} answers a second: {_too_slow(plan)}")
    start_rps = max(START_SHARE * answered_rps, plan.tests.least_rps)
    got = f"{users} users of a closed loop got {answered_rps:.4g} answers a second"
    half = START_SHARE * answered_rps >= plan.tests.least_rps
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


def _too_slow(plan: CandidateSearch) -> str:
    return (
        f"the limits need {plan.tests.samples} requests in a load test, which is at least "
        f"{plan.tests.least_rps:.3g} requests/s over load.max_duration_s ({plan.how.longest_s:g} s): "
        "make that longer"
    )


def found_rate(found: RateSearch, points: Sequence[LoadResult]) -> Estimate | None:
    """The rate that was found, with how far the truth may be from it; None where none met the limits.

    `low` is the highest rate that met the limits with certainty, 0 where none did; `high` the lowest above
    `value` that missed them with certainty, infinite where none did. Both go by 95 % intervals. Where a
    confirmation missed the rate, no test of it is certain, and `low` is at most what was answered then.
    """
    if found.met_rps is None:
        return None
    again = [step for step in found.steps if step.rate_rps == found.met_rps and _missed_again(step)]
    certain = [step.rate_rps for step in found.steps if step.met and step.certain]
    if again:
        certain = [rate for rate in certain if rate < found.met_rps]
        certain = [min(rate, *(step.throughput_rps for step in again)) for rate in certain]
    missed = [
        step.rate_rps
        for step in found.steps
        if step.rate_rps > found.met_rps
        and not step.void
        and certainly_missed(step.rate_rps, points, found.limits)
    ]
    low = max((rate for rate in certain if rate <= found.met_rps), default=0.0)
    return Estimate(value=found.met_rps, low=low, high=min(missed, default=float("inf")), method=METHOD)


def _missed_again(step: RateStep) -> bool:
    return step.confirms and not step.void and not step.met


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
