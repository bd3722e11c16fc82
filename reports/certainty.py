"""How sure an answer is, and what could change it: a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeldyno.base.records.comparison import Comparison
from modeldyno.base.records.run import Row
from modeldyno.reports.naming import alike, distinct, short_name, types, types_open
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import EN_DASH, count, fixed, shown

MANY = 2.0
"""From here on a ratio is worded as times, not as per cent."""

ONE_BY_ONE = (
    "they were measured one after another: what else the machine did in those minutes is in no interval but "
    "where a round was repeated"
)


def how_sure(run: Run, best: Row) -> str:
    """Say how far ahead the winner is, and by what that was measured."""
    rows = distinct(run, [row for row in run.recommendation.ranking if row.valid])
    if len(rows) == 1:
        return "How sure: there is nothing to compare it with, no other configuration met the limits."
    how = run.recommendation.comparison
    if how is None:
        return f"How sure: its 95 % cost interval is below all others, but {ONE_BY_ONE}."
    if best.against_best is None:
        return "How sure: that is not known, it shared no rounds with the others."
    other = f"the next best, {short_name(run, rows[1])}"
    ahead = cheaper(best.against_best, best.against_best_low, best.against_best_high, other)
    return f"How sure: it costs {ahead}; {_by(how)}."


def settled_by(run: Run) -> str:
    """Say what would tell apart those that are not."""
    how = run.recommendation.comparison
    if how is None:
        overlap = f"Their 95 % cost intervals overlap, and {ONE_BY_ONE}"
        return f"What would settle it: a longer measurement. {overlap}."
    longer = "a longer measurement (load.duration_s in the job file)"
    settling = phrases.said(how.settling) or longer
    return f"What would settle it: {settling}. Now: {_by(how)}."


def what_could_change(run: Run, tied: Sequence[Row]) -> str:
    """Say what is not in the intervals; empty where nothing is known."""
    found = list(dict.fromkeys(_changes(run, tied)))
    return f"What could change it: {'; '.join(found)}." if found else ""


def cheaper(ratio: float, low: float | None, high: float | None, than: str) -> str:
    """Word a cost over another's: `13 % less (95 % interval: 6 to 19 %) than X`, `2.3 times as much as X`."""
    if ratio >= MANY:
        number = shown(ratio, low, high)
        interval = f" (95 % interval: {number.interval.replace(EN_DASH, ' to ')})" if number.interval else ""
        return f"{number.text} times as much{interval} as {than}"
    more = ratio >= 1
    word = "more" if more else "less"
    return f"{_per_cent(abs(ratio - 1))} {word} ({_span(low, high, more=more)}) than {than}"


def _span(low: float | None, high: float | None, *, more: bool) -> str:
    if low is None or high is None:
        return "its interval has an open end"
    ends = (low - 1, high - 1) if more else (1 - high, 1 - low)
    if ends[0] < 0:
        return f"95 % interval: {fixed(low, 2)} to {fixed(high, 2)} times as much"
    return f"95 % interval: {_per_cent(ends[0]).removesuffix(' %')} to {_per_cent(ends[1])}"


def _per_cent(part: float) -> str:
    return f"{fixed(100 * part, 0 if 100 * part >= 2 else 1)} %"


def _by(how: Comparison) -> str:
    starts = f", {count(how.starts, 'start')} of each server" if how.starts > 1 else ""
    return f"measured in turns, {count(how.rounds, 'round')}{starts}"


def _changes(run: Run, tied: Sequence[Row]) -> Iterator[str]:
    for row in tied:
        yield from map(phrases.said, row.weak)
    ranking, rejected = run.recommendation.ranking, run.recommendation.rejected
    if void := distinct(run, [row for row in ranking if not row.valid]):
        yield f"{count(len(void), 'configuration')} left out, since the load test is void"
    if unsure := distinct(run, [row for row in rejected if row.undecided]):
        yield f"for {count(len(unsure), 'configuration')} it is not decided whether the limits are met"
    if names := types_open(run, tied[0]):
        yield f"which type is cheaper ({types(names)}) is projected, not measured"
    kinds = {row.fidelity for row in [each for row in tied for each in alike(run, row)]}
    if "emulated" in kinds:
        yield "a real instance has another clock, caches and memory than this machine"
    if "projected" in kinds:
        yield "projected figures were not measured"
