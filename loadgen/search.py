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

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modeldyno.base.errors import ConfigError, LoadTestError, UnansweredError
from modeldyno.base.records.run import PERCENTILES, LoadResult, RateSearch, RateStep
from modeldyno.loadgen.interrupts import CutShortError
from modeldyno.loadgen.stats.intervals import fewest_samples

KEPT_UP = 0.95  # of what arrived in the window: fewer answers in it mean that a queue grows
SPARE = 1.1  # times the planned window: for so long a test may wait for its samples
MAX_STEPS = 40
VOID_TRIES = 3
"""Load tests of one rate, while they are void."""
SMALLEST_SHARE = 1 / 16  # of the first guess: below it nothing is tried
ERROR_RATE = "error_rate"
NAMES = (*(f"p{percent:g}_ms" for percent in PERCENTILES), ERROR_RATE)

Measure = Callable[[float], LoadResult]
Idle = Callable[[], str]
"""Waits until the server is idle; gives why it is not after all, or nothing."""


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
            raise ConfigError(
                f"`limits` {text}: expected NAME=NUMBER, NAME one of {', '.join(NAMES)}", field="limits"
            )
    if not limits.keys() - {ERROR_RATE}:
        raise ConfigError("a search needs a limit on a percentile, e.g. `limits=p99_ms=50`", field="limits")
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
    idle: Idle,
    least_rps: float = 0.0,
    most_steps: int = MAX_STEPS,
    on_step: Callable[[RateStep], None] | None = None,
) -> RateSearch:
    """Search from `start_rps` until the gap is at most `precision` of its lower end, in `most_steps` tests.

    The confirmation of the last found rate may come on top of them. Rates below `least_rps` are not tried: a
    test of them would be too short to say anything. A rate at which nothing is answered does not meet the
    limits. `undecided` of what is returned says why the search ended before it could decide, if it did.

    Raises:
        LoadTestError: the first load test could not be run at all.
    """
    smallest = max(least_rps, start_rps * SMALLEST_SHARE)
    search = _Search(measure, limits, idle, precision, smallest, most_steps, on_step)
    search.run(start_rps)
    return RateSearch(
        url=url,
        limits=dict(limits),
        met_rps=search.met,
        failed_rps=search.failed,
        confirmed=search.confirmed,
        undecided=search.undecided,
        steps=tuple(search.steps),
    )


class _EndedError(Exception):
    """The search can't go on, for the reason that is its message."""


@dataclass
class _Search:
    """A search under way."""

    measure: Measure
    limits: Mapping[str, float]
    idle: Idle
    precision: float
    smallest: float
    most_steps: int
    on_step: Callable[[RateStep], None] | None
    steps: list[RateStep] = field(default_factory=list)
    met: float | None = None
    failed: float | None = None
    confirmed: bool = False
    undecided: str = ""
    _void: RateStep | None = None
    """The last of the load tests at the lowest rate at which all of them were void."""

    def run(self, start_rps: float) -> None:
        """Search; confirm what was found, and go on below it as long as that fails."""
        rate = start_rps
        try:
            while not self.confirmed:
                self._close_in(rate)
                if self.met is None:
                    break
                self._confirm(self.met)
                rate = _next(self.met, self.failed)
        except _EndedError as end:
            self.undecided = str(end)
        if self.met is None and self.failed is None and self._void and not self.undecided:
            self.undecided = self._unknown(self._void)

    def _close_in(self, rate: float) -> None:
        """Try rates until the gap is narrow, or nothing more can be tried."""
        self.undecided = ""
        while len(self.steps) < self.most_steps and rate >= self.smallest:
            if _narrow(self.met, self.failed, self.precision):
                return
            step = self._void if self._known_void(rate) else self._tried(rate, self.most_steps)
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
        step = self._tried(rate, self.most_steps + 1, confirms=True)
        if step.void:
            raise _EndedError(
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
            raise _EndedError(f"the load tests were used up before {rate:.4g} req/s could be confirmed")
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
            return judge(rate, result, self.limits)
        except CutShortError as error:
            raise _EndedError(str(error)) from error
        except UnansweredError as error:
            return _without_figures(rate, str(error), self.limits, void=False)
        except LoadTestError as error:
            if not self.steps:
                raise
            return _without_figures(rate, str(error), self.limits, void=True)

    def _unknown(self, void: RateStep) -> str:
        tests = sum(step.rate_rps == void.rate_rps for step in self.steps)
        above = "nothing is known" if self.met is None else f"unknown above {self.met:.4g} req/s"
        return (
            f"{above}: the generator is the limit; {_count(tests)} at {void.rate_rps:.4g} req/s "
            f"{'was' if tests == 1 else 'were'} void: {'; '.join(void.reasons)}"
        )


def _count(tests: int) -> str:
    return "the load test" if tests == 1 else f"all {tests} load tests"


def _without_figures(rate_rps: float, reason: str, limits: Mapping[str, float], *, void: bool) -> RateStep:
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
    if not result.valid and not (result.only_held_back and missed_as_sent(result, limits)):
        figures = {name: _figure(result, name)[0] for name in limits}
        step = _without_figures(rate_rps, "; ".join(result.invalid_reasons), limits, void=True)
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


def _next(met: float | None, failed: float | None) -> float:
    if failed is None:
        return 2 * (met or 0.0)
    return failed / 2 if met is None else (met + failed) / 2


def _narrow(met: float | None, failed: float | None, precision: float) -> bool:
    return met is not None and failed is not None and failed - met <= precision * met
