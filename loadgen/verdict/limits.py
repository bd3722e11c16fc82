"""One load test held against limits: met, missed, or not decided; pure.

A limit is met where the whole 95 % interval of its number is within it, and missed where the whole interval
is beyond it; a limit inside the interval is not decided. A void test decides nothing, but for what the search
of a rate takes from one too (rate_step.missed_as_sent). As in that search, an open loop whose answers did not
keep up with the arrivals misses, whatever its latencies are: they depend on how long it lasted.

error_rate: requests that failed, with Clopper and Pearson's exact interval. A limit of 0 is met by none, and
missed by one. Where it is not limited, it is held against DEFAULT_ERROR_RATE if it is above that: percentiles
are those of the successful requests.
throughput_rps: of a closed loop the measured one with its interval. Of an open loop the rate times the share
of the arrivals that was answered in the window: the number of arrivals itself is chance, a Poisson sample of
40 a second is not 40.0. KEPT_UP of them count as all, since some are always on their way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.run import Limits
from modeldyno.base.records.verdict import Answer, LimitVerdict, Verdict
from modeldyno.loadgen.spec.limit_names import ERROR_RATE, THROUGHPUT
from modeldyno.loadgen.spec.limit_plan import KEPT_UP, share_needed
from modeldyno.loadgen.stats.intervals import fewest_samples, share_interval
from modeldyno.loadgen.verdict.rate_step import arrived, missed_as_sent

DEFAULT_ERROR_RATE = Limits().error_rate or 0.0
NOT_DECIDED: Answer = "not decided"
_MISSED: Answer = "missed"


def with_verdict(result: LoadResult, limits: Mapping[str, float]) -> LoadResult:
    """Give the result with what it makes of the limits, by name (loadgen.spec.limit_names)."""
    return result.model_copy(update={"verdict": verdict(result, limits)})


def verdict(result: LoadResult, limits: Mapping[str, float]) -> Verdict:
    """Hold a load test against limits, by name."""
    found = tuple(_judged(result, name, limit) for name, limit in limits.items())
    if ERROR_RATE not in limits:
        found = (*found, *_unlimited_errors(result))
    void = "; ".join(result.invalid_reasons)
    if not result.valid and not (result.only_held_back and missed_as_sent(result, limits)):
        undecided = tuple(each.model_copy(update={"answer": NOT_DECIDED}) for each in found)
        return Verdict(answer=NOT_DECIDED, reasons=(f"the load test is void: {void}",), limits=undecided)
    whole = [*_of_the_whole(result), *(((_MISSED, void),) if void else ())]
    answers = [*((each.answer, each.reason) for each in found), *whole]
    for answer in (_MISSED, NOT_DECIDED):
        reasons = tuple(reason for each, reason in answers if each == answer)
        if reasons:
            return Verdict(answer=answer, reasons=reasons, limits=found)
    return Verdict(answer="met", reasons=(), limits=found)


def _judged(result: LoadResult, name: str, limit: float) -> LimitVerdict:
    if name == ERROR_RATE:
        return _errors(result, limit)
    if name == THROUGHPUT:
        return _throughput(result, limit)
    return _latency(result, name, limit)


def _latency(result: LoadResult, name: str, limit_ms: float) -> LimitVerdict:
    entry = next(each for each in result.percentiles if f"p{each.percentile:g}_ms" == name)
    needed = fewest_samples(entry.percentile / 100)
    answer = _within(entry.low_ms, entry.high_ms, limit_ms)
    if entry.ms is None:
        reason = f"{name} can't be stated from {result.samples} samples, it needs {needed}: measure longer"
    else:
        low = 0.0 if entry.low_ms is None else entry.low_ms
        high = "unbounded" if entry.high_ms is None else f"{entry.high_ms:.4g}"
        reason = f"{name} is {entry.ms:.4g} (95 %: {low:.4g} to {high}), limit {limit_ms:g}"
    if entry.ms is not None and entry.high_ms is None and answer == NOT_DECIDED:
        worth = entry.effective_samples or 1
        reason += f": {worth} independent samples, it needs {needed}: measure longer"
    return LimitVerdict(
        name=name,
        limit=limit_ms,
        value=entry.ms,
        low=entry.low_ms,
        high=entry.high_ms,
        answer=answer,
        reason=reason,
    )


def _errors(result: LoadResult, limit: float) -> LimitVerdict:
    failed, total = result.errors, result.errors + result.samples
    low, high = share_interval(failed, total)
    answer = _within(low, high, limit)
    if limit == 0:
        answer = _MISSED if failed else "met"
    return LimitVerdict(
        name=ERROR_RATE,
        limit=limit,
        value=failed / total,
        low=low,
        high=high,
        answer=answer,
        reason=f"error_rate is {failed / total:.4g} ({failed} of {total} requests; 95 %: {low:.4g} to "
        f"{high:.4g}), limit {limit:g}",
    )


def _unlimited_errors(result: LoadResult) -> Iterator[LimitVerdict]:
    """Say something of errors that nobody limited only where they are more than a search would pass."""
    if result.error_rate > DEFAULT_ERROR_RATE:
        yield _errors(result, DEFAULT_ERROR_RATE)


def _throughput(result: LoadResult, least_rps: float) -> LimitVerdict:
    rate = result.throughput_rps
    value, low, high = rate.value, rate.low, rate.high
    answer: Answer = "met" if low >= least_rps else _MISSED if high < least_rps else NOT_DECIDED
    how = ""
    if result.spec.rate_rps is not None:
        due = result.samples + result.errors
        in_time = min(due, round(rate.value * result.window_s))
        came_rps = _came_rps(result, due)
        needed = share_needed(least_rps, came_rps)
        low_share, high_share = share_interval(in_time, due)
        answer = "met" if low_share >= needed else _MISSED if high_share < needed else NOT_DECIDED
        if least_rps > came_rps:  # a trace whose window has fewer than its mean: no fault of the server
            answer = NOT_DECIDED
        value, low, high = (came_rps * share for share in (in_time / due, low_share, high_share))
        how = f"{in_time} of {due} arrivals of {came_rps:.4g}/s answered in time; "
    return LimitVerdict(
        name=THROUGHPUT,
        limit=least_rps,
        value=value,
        low=low,
        high=high,
        answer=answer,
        reason=f"throughput_rps is {value:.4g} ({how}95 %: {low:.4g} to {high:.4g}), at least {least_rps:g} "
        "wanted",
    )


def _came_rps(result: LoadResult, due: int) -> float:
    """Arrivals a second: as asked for, where their number is chance; of a trace as they came."""
    asked_rps = result.spec.rate_rps
    return due / result.window_s if asked_rps is None or result.spec.arrival == "trace" else asked_rps


def _of_the_whole(result: LoadResult) -> Iterator[tuple[Answer, str]]:
    """What no single limit says."""
    answered, arrived_rps = result.throughput_rps, arrived(result)
    if result.spec.rate_rps is not None and answered.value < KEPT_UP * arrived_rps:
        certain = answered.high < KEPT_UP * arrived_rps
        yield (
            _MISSED if certain else NOT_DECIDED,
            f"{answered.value:.4g} of {arrived_rps:.4g} requests/s were answered in time: a queue grew",
        )
    if result.cut_short:
        yield NOT_DECIDED, f"{result.cut_short} ended the test before its time"


def _within(low: float | None, high: float | None, limit: float) -> Answer:
    if high is not None and high <= limit:
        return "met"
    return _MISSED if low is not None and low > limit else NOT_DECIDED
