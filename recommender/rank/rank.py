"""Rank the trials of a run: limits decide who takes part, the objective decides the order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeldyno.base.records.load import LoadResult, RateSearch
from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import Limits, Row, Trial
from modeldyno.base.units import usd_per_million
from modeldyno.recommender.rank.base import Objective
from modeldyno.recommender.rank.cost_per_million import CostPerMillion
from modeldyno.recommender.rank.misses import INFINITE, Miss, doubts, misses, undecided
from modeldyno.recommender.rank.paid import as_sustained, cores_used, paid, paid_usd_per_hour, per_list_price
from modeldyno.trials.catalog.cost import Cost, burst_note, cost_per_million
from modeldyno.trials.measure.rate_search import found_rate, point_at

COST: Objective = CostPerMillion()

Name = tuple[str, str, tuple[float, ...]]


def rank(
    trials: Sequence[Trial], limits: Limits, objective: Objective = COST
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return (ranking, rejected); every trial is in one of them, at one of its load levels.

    A trial stands at its best point: of the load levels that meet all limits, the one that is best by the
    objective. One that meets them at no level is rejected with the reasons of the level that comes nearest.
    Order: the objective (cost per million requests), then p99, then instance type, backend, settings.

    A void load test (its generator could not keep up) counts only where a trial has no valid one that meets
    the limits. The row then stands behind all valid ones, with its reasons, and ties with none.

    A trial that searched stands at the highest rate that met the limits, and its throughput is that rate.

    A percentile is judged by its value; where its 95 % interval straddles the limit, the row has a warning.

    A burstable type costs what the measured CPU costs; one that is held to its baseline has its throughput.
    """
    rows = [_row(as_sustained(trial), limits, objective) for trial in trials]
    ranking = sorted((row for row in rows if not row.reasons), key=lambda row: _order(row, objective))
    rejected = sorted((row for row in rows if row.reasons), key=_name)
    return _numbered(ranking, objective), tuple(rejected)


def _row(trial: Trial, limits: Limits, objective: Objective) -> Row:
    if trial.failure is not None:
        return _empty_row(trial, trial.failure)
    if not trial.points:
        return _empty_row(trial, "no load test was recorded")
    if trial.search is not None:
        return _search_row(trial, trial.search, limits)
    judged = [(point, list(misses(point, trial, limits))) for point in trial.points]
    meeting = [point for point, missed in judged if not missed]
    if meeting:
        return _measured_row(
            trial, max(meeting, key=lambda point: _goodness(trial, point, objective)), limits, ()
        )
    point, missed = min(judged, key=lambda pair: _distance(pair[1]))
    row = _measured_row(trial, point, limits, tuple(miss.reason for miss in missed))
    return row.model_copy(update={"undecided": undecided(judged, limits)})


def _search_row(trial: Trial, found: RateSearch, limits: Limits) -> Row:
    """Stand at the highest rate that met the limits. Its interval is the search's, not that of one test."""
    rate = found_rate(found, trial.points)
    if rate is None:
        return _unfound_row(trial, found, limits)
    point = point_at(rate.value, trial.points)
    assert point is not None  # noqa: S101 - a rate that met the limits has its load test
    held = paid(trial, point).held_share
    answered = held * (1 - point.error_rate)
    value, low, high = (answered * each for each in (rate.value, rate.low, rate.high))
    sustained = {name: held * getattr(rate, name) for name in ("value", "low", "high")}
    # Latency and errors have been judged by the search, and by its confirmations.
    missed = misses(
        point.model_copy(update={"throughput_rps": rate.model_copy(update=sustained)}), trial, _beside(limits)
    )
    row = _measured_row(trial, point, limits, tuple(miss.reason for miss in missed))
    price = paid_usd_per_hour(trial, point)
    return row.model_copy(
        update={
            "found_rate": True,
            "undecided": found.undecided,
            "throughput_rps": value,
            "throughput_low_rps": low,
            "throughput_high_rps": None if high == INFINITE else high,
            "usd_per_million": usd_per_million(price, value),
            "usd_per_million_low": None if high == INFINITE else usd_per_million(price, high),
            "usd_per_million_high": usd_per_million(price, low) if low else None,
            "warnings": (*row.warnings, *_open_ends(rate), *_undecided(found)),
        }
    )


def _unfound_row(trial: Trial, found: RateSearch, limits: Limits) -> Row:
    """Stand at the lowest rate whose load test says something; where none does, say why."""
    valid = [step for step in found.steps if not step.void]
    if not valid:
        row = _empty_row(trial, f"not decided: {found.undecided or 'no load test was valid'}")
        return row.model_copy(update={"undecided": found.undecided})
    lowest = min(valid, key=lambda step: (step.rate_rps, step.met))
    reason = f"no rate met the limits; at {lowest.rate_rps:.4g} requests/s, the lowest that was tried: "
    reasons = (reason + "; ".join(lowest.reasons), *_undecided(found))
    point = point_at(lowest.rate_rps, trial.points)
    row = _measured_row(trial, point, limits, reasons) if point else _empty_row(trial, *reasons)
    return row.model_copy(update={"undecided": found.undecided})


def _beside(limits: Limits) -> Limits:
    """Those that no search asks."""
    return Limits(error_rate=None, throughput_rps=limits.throughput_rps, usd_per_hour=limits.usd_per_hour)


def _undecided(found: RateSearch) -> Iterator[str]:
    if found.undecided:
        yield f"its search was not decided: {found.undecided}"


def _open_ends(rate: Estimate) -> Iterator[str]:
    if rate.low == 0:
        yield f"no rate met the limits with certainty: {rate.value:.4g} requests/s may be too many"
    if rate.high == INFINITE:
        yield f"no rate above {rate.value:.4g} requests/s missed the limits with certainty: more may be met"


def _goodness(trial: Trial, point: LoadResult, objective: Objective) -> tuple[bool, float, float]:
    """Valid first, then by the objective; ties go to the lower p99."""
    p99_ms = point.percentile_ms(99.0)
    return point.valid, objective.gain(per_list_price(trial, point)), -INFINITE if p99_ms is None else -p99_ms


def _distance(missed: Sequence[Miss]) -> tuple[float, int]:
    """Nearest is the point whose worst limit is missed by the least; then the one with fewer misses."""
    return max(miss.factor for miss in missed), len(missed)


def _measured_row(trial: Trial, point: LoadResult, limits: Limits, reasons: tuple[str, ...]) -> Row:
    latency = {entry.percentile: entry for entry in point.percentiles}
    p99, cost = latency[99.0], _cost(trial, point)
    hour, caveat = paid(trial, point), burst_note(trial.instance, cores_used(point))
    return _empty_row(trial).model_copy(
        update={
            "users": point.spec.users,
            "rate_rps": point.spec.rate_rps,
            "stage": point.spec.stage,
            "p50_ms": latency[50.0].ms,
            "p95_ms": latency[95.0].ms,
            "p99_ms": p99.ms,
            "p99_low_ms": p99.low_ms,
            "p99_high_ms": p99.high_ms,
            "throughput_rps": _requests(point).value,
            "throughput_low_rps": _requests(point).low,
            "throughput_high_rps": _requests(point).high,
            "error_rate": point.error_rate,
            "surplus_usd_per_hour": hour.surplus_usd,
            "held_share": hour.held_share,
            "usd_per_million": cost.usd_per_million if cost else None,
            "usd_per_million_low": cost.low if cost else None,
            "usd_per_million_high": cost.high if cost else None,
            "cpu_utilization": _cpu_utilization(trial, point),
            "memory_mib": point.server.memory_mib_max if point.server else None,
            "samples": point.samples,
            "weak": trial.weak,
            "reasons": reasons,
            "invalid_reasons": point.invalid_reasons,
            "warnings": (
                *(f"INVALID: {reason}" for reason in point.invalid_reasons),
                *point.warnings,
                *trial.warnings,
                *_scenario_doubts(point),
                *doubts(point, limits),
                *([caveat] if caveat else []),
            ),
        }
    )


def _scenario_doubts(point: LoadResult) -> Iterator[str]:
    found = point.scenario
    if found is None or found.valid:
        return
    reasons = found.reasons if found.duration_met else (*found.reasons, "it lasted less than 600 s")
    yield f"the rules of MLPerf's {found.name} are not met: {'; '.join(reasons)}"


def _cost(trial: Trial, point: LoadResult) -> Cost | None:
    if point.throughput_rps.value <= 0:
        return None
    return cost_per_million(paid_usd_per_hour(trial, point), _requests(point))


def _requests(point: LoadResult) -> Estimate:
    """Requests a second: of MLPerf's MultiStream the numbers are of queries of several."""
    found, times = point.throughput_rps, point.spec.samples_per_query
    return found.model_copy(
        update={"value": times * found.value, "low": times * found.low, "high": times * found.high}
    )


def _cpu_utilization(trial: Trial, point: LoadResult) -> float | None:
    """Not clipped: above 1 the server got more CPU than the instance has, and the row should show it."""
    return point.server.cpu_cores_mean / trial.instance.vcpus if point.server else None


def _empty_row(trial: Trial, *reasons: str) -> Row:
    """Name the candidate; no number is known."""
    unknown = {name: None for name, field in Row.model_fields.items() if field.is_required()}
    return Row.model_validate(
        {
            **unknown,
            "instance_type": trial.candidate.instance_type,
            "backend": trial.candidate.backend,
            "settings": trial.candidate.settings,
            "usd_per_hour": trial.instance.usd_per_hour,
            "fidelity": trial.fidelity,
            "samples": 0,
            "trial": trial.candidate.key,
            "reasons": reasons,
        }
    )


def _order(row: Row, objective: Objective) -> tuple[bool, float, float, Name]:
    return not row.valid, objective.value(row), INFINITE if row.p99_ms is None else row.p99_ms, _name(row)


def _name(row: Row) -> Name:
    found = row.settings
    axes = (found.threads, found.workers, found.processes, found.max_batch, found.batch_delay_ms)
    return row.instance_type, row.backend, axes


def _numbered(ranking: Sequence[Row], objective: Objective) -> tuple[Row, ...]:
    """Give ranks, and mark the rows whose interval meets the best one's (and the best one itself)."""
    tied = [number > 0 and _overlap(ranking[0], row, objective) for number, row in enumerate(ranking)]
    if any(tied):
        tied[0] = True
    return tuple(
        row.model_copy(update={"rank": number, "tied_with_best": tie})
        for number, (row, tie) in enumerate(zip(ranking, tied, strict=True), start=1)
    )


def _overlap(one: Row, other: Row, objective: Objective) -> bool:
    if not (one.valid and other.valid):
        return False
    (low, high), (other_low, other_high) = objective.interval(one), objective.interval(other)
    return low <= other_high and other_low <= high
