"""The rows of the page's search tables: each rate that was tried, and what it told."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.load import RateStep
from modeldyno.base.records.run import Trial
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import tags
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import MISSING, count, plain, share

ERROR_RATE = "error_rate"


@dataclass(frozen=True)
class Step:
    """One rate that was tried; `figures` are its limited numbers, in the order of the search's limits."""

    number: str
    rate: str
    met: str
    figures: tuple[str, ...]
    answered: str
    samples: str
    reasons: str
    found: bool


@dataclass(frozen=True)
class Search:
    """One candidate's search for the highest rate."""

    tag: str
    name: str
    began: str
    end: str
    limits: tuple[str, ...]
    steps: tuple[Step, ...]


def searches(run: Run) -> tuple[Search, ...]:
    """Word every search, in the order of the rows."""
    found = ((tag, row, run.trials.get(row.trial)) for tag, row in tags(run))
    return tuple(
        _search(tag, phrases.configuration(row), trial)
        for tag, row, trial in found
        if trial is not None and trial.search is not None
    )


def _search(tag: str, name: str, trial: Trial) -> Search:
    assert trial.search is not None  # noqa: S101 - the caller has seen it
    found = trial.search
    numbered = sorted(enumerate(found.steps, 1), key=lambda pair: pair[1].rate_rps)
    steps = tuple(_step(number, step, tuple(found.limits), found.met_rps) for number, step in numbered)
    began = f"It began at {plain(found.steps[0].rate_rps)} req/s: {found.began}." if found.began else ""
    return Search(tag, name, began, _end(trial), tuple(map(_limit, found.limits.items())), steps)


def _end(trial: Trial) -> str:
    assert trial.search is not None  # noqa: S101 - as above
    found, tried = trial.search, count(len(trial.search.steps), "load test")
    doubt = f" Not decided: {phrases.log_text(found.undecided)}." if found.undecided else ""
    if found.met_rps is None:
        return f"No rate met the limits, in {tried}.{doubt}"
    above = "no higher one was tried"
    if found.failed_rps is not None:
        above = f"{plain(found.failed_rps)} req/s, the lowest tried above it, did not"
    again = ", and once more when tried again" if found.confirmed else ""
    return f"{plain(found.met_rps)} req/s met the limits{again}; {above}, in {tried}.{doubt}"


def _step(number: int, step: RateStep, names: tuple[str, ...], met_rps: float | None) -> Step:
    return Step(
        number=str(number),
        rate=plain(step.rate_rps),
        met="void" if step.void else "yes" if step.certain else "yes, not certain" if step.met else "no",
        figures=tuple(_figure(name, step.figures.get(name)) for name in names),
        answered=plain(step.throughput_rps),
        samples=f"{step.samples:,}",
        reasons=phrases.log_text("; ".join(step.reasons)),
        found=step.rate_rps == met_rps,
    )


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return MISSING
    return share(value) if name == ERROR_RATE else plain(value)


def _limit(limit: tuple[str, float]) -> str:
    """Head a column: `p99 ≤ 50 ms`."""
    name, value = limit
    if name == ERROR_RATE:
        return f"errors \u2264 {100 * value:g} %"
    return f"{name.removesuffix('_ms')} \u2264 {value:g} ms"
