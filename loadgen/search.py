"""The highest rate that meets the limits: double until one fails, then halve the gap between the two.

A rate meets the limits when a load test at it is valid, its answers kept up with the arrivals, and each
limited number is within its limit. Each test is as long as its highest limited percentile needs. The answer
is a gap, from the highest rate that met the limits to the lowest that did not: the truth is somewhere in it,
as far as chance in the tests themselves allows; `certain` says where the confidence interval too is within
the limit.

Before each test the server is seen idle (loadgen.server.idle). A void test says nothing of the rate: it is
repeated, and where every repetition is void, higher rates stay unknown. The rate that was found is tried once
more, in a test of its own that nothing chose it by; when that misses, the search goes on below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modeldyno.base.errors import LoadTestError, UnansweredError
from modeldyno.base.records.load import LoadResult, RateSearch, RateStep
from modeldyno.loadgen.signals import CutShortError
from modeldyno.loadgen.verdict.rate_step import judge, without_figures

MAX_STEPS = 40
VOID_TRIES = 3
"""Load tests of one rate, while they are void."""
CONFIRM_TRIES = 2
"""Load tests of a confirmation in a server of its own, while they are void."""
SMALLEST_SHARE = 1 / 16  # of the first guess: below it nothing is tried

Measure = Callable[[float], LoadResult]
Idle = Callable[[], str]
"""Waits until the server is idle; gives why it is not after all, or nothing."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search looks for, and how far it goes."""

    limits: Mapping[str, float]
    """By name (loadgen.spec.limit_names)."""
    start_rps: float
    precision: float
    """The gap is narrow enough when it is at most this share of its lower end."""
    least_rps: float = 0.0
    """Lower rates are not tried: a test of them would be too short to say anything."""
    most_steps: int = MAX_STEPS
    """Load tests at the most; the confirmation of the last found rate may come on top of them."""

    @property
    def smallest_rps(self) -> float:
        """The lowest rate that is tried."""
        return max(self.least_rps, self.start_rps * SMALLEST_SHARE)


def find_rate(
    measure: Measure,
    plan: SearchPlan,
    *,
    url: str,
    idle: Idle,
    on_step: Callable[[RateStep], None] | None = None,
) -> RateSearch:
    """Search as planned; `measure` runs one load test at a rate.

    A rate at which nothing is answered does not meet the limits. `undecided` of what is returned says why the
    search ended before it could decide, if it did.

    Raises:
        LoadTestError: the first load test could not be run at all.
    """
    search = _Search(measure, plan, idle, on_step)
    search.run()
    return search.found(url)


def confirm_rate(
    measure: Callable[[], LoadResult], rate_rps: float, limits: Mapping[str, float], *, url: str, idle: Idle
) -> RateSearch:
    """Try one rate that a search found in another start of the server; a void test is repeated once.

    `idle` is asked before each test. `undecided` of what is returned says why nothing was tried.

    Raises:
        LoadTestError: the load test could not be run at all.
    """
    plan = SearchPlan(limits, rate_rps, precision=1.0)
    search = _Search(lambda _: measure(), plan, idle, None)
    search.try_again(rate_rps)
    return search.found(url)


class _EndedError(Exception):
    """The search can't go on, for the reason that is its message."""


class _UnconfirmedError(_EndedError):
    """All that is left to be done is to confirm the rate that was found, which could not be."""


@dataclass
class _Search:
    """A search under way."""

    measure: Measure
    plan: SearchPlan
    idle: Idle
    on_step: Callable[[RateStep], None] | None
    steps: list[RateStep] = field(default_factory=list)
    met: float | None = None
    failed: float | None = None
    confirmed: bool = False
    undecided: str = ""
    only_unconfirmed: bool = False
    _void: RateStep | None = None
    """The last of the load tests at the lowest rate at which all of them were void."""

    def found(self, url: str) -> RateSearch:
        """What there is so far."""
        return RateSearch(
            url=url,
            limits=dict(self.plan.limits),
            met_rps=self.met,
            failed_rps=self.failed,
            confirmed=self.confirmed,
            undecided=self.undecided,
            only_unconfirmed=self.only_unconfirmed,
            steps=tuple(self.steps),
        )

    def try_again(self, rate: float) -> None:
        """Try a rate that was found elsewhere."""
        try:
            step = self._tried(rate, CONFIRM_TRIES, confirms=True)
        except _EndedError as end:
            self.undecided = str(end)
            return
        self.confirmed = step.met
        self.met = rate if step.met else None
        self.failed = None if step.met or step.void else rate

    def run(self) -> None:
        """Search; confirm what was found, and go on below it as long as that fails."""
        rate = self.plan.start_rps
        try:
            while not self.confirmed:
                self._close_in(rate)
                if self.met is None:
                    break
                self._confirm(self.met)
                rate = _next(self.met, self.failed)
        except _EndedError as end:
            self.only_unconfirmed = isinstance(end, _UnconfirmedError) and not self.undecided
            self.undecided = "; ".join(filter(None, (self.undecided, str(end))))
        if self.met is None and self.failed is None and self._void and not self.undecided:
            self.undecided = self._unknown(self._void)

    def _close_in(self, rate: float) -> None:
        """Try rates until the gap is narrow, or nothing more can be tried."""
        self.undecided = ""
        while len(self.steps) < self.plan.most_steps and rate >= self.plan.smallest_rps:
            if _narrow(self.met, self.failed, self.plan.precision):
                return
            step = self._void if self._known_void(rate) else self._tried(rate, self.plan.most_steps)
            assert step is not None  # noqa: S101 - a rate that is known to be void has its step
            if not step.void:
                self.met, self.failed = (rate, self.failed) if step.met else (self.met, rate)
                rate = _next(self.met, self.failed)
                continue
            self._void = step
            if self.met is not None:
                self.undecided = self._unknown(step)
                return
            rate /= 2

    def _known_void(self, rate: float) -> bool:
        return self._void is not None and rate >= self._void.rate_rps

    def _confirm(self, rate: float) -> None:
        step = self._tried(rate, self.plan.most_steps + 1, confirms=True)
        if step.void:
            raise _UnconfirmedError(
                f"{rate:.4g} req/s met the limits once, the load tests to confirm it were void: "
                f"{'; '.join(step.reasons)}"
            )
        self.confirmed = step.met
        if not step.met:
            self.failed = rate
            self.met = max(
                (one.rate_rps for one in self.steps if one.met and one.rate_rps < rate), default=None
            )

    def _tried(self, rate: float, most_steps: int, *, confirms: bool = False) -> RateStep:
        """Test a rate until a load test of it is valid; give the last of at most VOID_TRIES."""
        if len(self.steps) >= most_steps:
            raise _UnconfirmedError(f"the load tests were used up before {rate:.4g} req/s could be confirmed")
        last = min(len(self.steps) + VOID_TRIES, most_steps)
        while True:
            if why := self.idle():
                raise _EndedError(why)
            step = self._measured(rate).model_copy(update={"confirms": confirms})
            self.steps.append(step)
            if self.on_step:
                self.on_step(step)
            if not step.void or len(self.steps) >= last:
                return step

    def _measured(self, rate: float) -> RateStep:
        """Run one load test. One that could not be run is void, unless it would be the first."""
        try:
            result = self.measure(rate)
            if result.cut_short:
                raise _EndedError(f"{result.cut_short} ended the search in its load test at {rate:.4g} req/s")
            return judge(rate, result, self.plan.limits)
        except CutShortError as error:
            raise _EndedError(str(error)) from error
        except UnansweredError as error:
            return without_figures(rate, str(error), self.plan.limits, void=False)
        except LoadTestError as error:
            if not self.steps:
                raise
            return without_figures(rate, str(error), self.plan.limits, void=True)

    def _unknown(self, void: RateStep) -> str:
        tests = sum(step.rate_rps == void.rate_rps for step in self.steps)
        above = "nothing is known" if self.met is None else f"unknown above {self.met:.4g} req/s"
        return (
            f"{above}: the generator is the limit; {_count(tests)} at {void.rate_rps:.4g} req/s "
            f"{'was' if tests == 1 else 'were'} void: {'; '.join(void.reasons)}"
        )


def _count(tests: int) -> str:
    return "the load test" if tests == 1 else f"all {tests} load tests"


def _next(met: float | None, failed: float | None) -> float:
    if failed is None:
        return 2 * (met or 0.0)
    return failed / 2 if met is None else (met + failed) / 2


def _narrow(met: float | None, failed: float | None, precision: float) -> bool:
    return met is not None and failed is not None and failed - met <= precision * met
