"""What changes how far the answer of a run holds, in the order in which it changes the answer; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeldyno.base.records.ranked_warning import RankedWarning
from modeldyno.base.records.run import Row
from modeldyno.recommender.rounds.compared import Compared

RANKS = ("void", "weak", "note")
MOST_NAMES = 3


def ranked_warnings(told: Compared, rejected: Sequence[Row]) -> tuple[RankedWarning, ...]:
    """Void first, then what makes the answer less sure, then what is only to be known."""
    found = [*_void(told.ranking), *_undecided(rejected), *_weak(told.ranking), *_disturbed(told)]
    return tuple(sorted(found, key=lambda each: RANKS.index(each.rank)))


def _void(ranking: Sequence[Row]) -> Iterator[RankedWarning]:
    rows = [row for row in ranking if not row.valid]
    if rows:
        yield RankedWarning(
            rank="void",
            text=f"{_names(rows)}: void, so not ranked: {rows[0].invalid_reasons[0]}",
            advice="run it again with --retry-failed, or free the machine",
        )


def _undecided(rejected: Sequence[Row]) -> Iterator[RankedWarning]:
    rows = [row for row in rejected if row.undecided]
    if rows:
        yield RankedWarning(
            rank="weak",
            text=f"{_names(rows)}: not decided whether the limits are met: {rows[0].undecided}",
            advice="measure longer: load.duration_s",
        )


def _weak(ranking: Sequence[Row]) -> Iterator[RankedWarning]:
    by_text = dict[str, list[Row]]()
    for row in ranking:
        for text in row.weak:
            by_text.setdefault(text, []).append(row)
    for text, rows in by_text.items():
        yield RankedWarning(rank="weak", text=f"{_names(rows)}: {text}", advice="")


def _disturbed(told: Compared) -> Iterator[RankedWarning]:
    found = told.comparison
    if found is None or found.left_out_rounds <= found.rounds / 10:
        return
    yield RankedWarning(
        rank="note",
        text=f"the machine did other work in {found.left_out_rounds} of {found.rounds} rounds: left out",
        advice="a quiet machine takes less time",
    )


def _names(rows: Sequence[Row]) -> str:
    names = [f"{row.instance_type} {row.backend}" for row in rows]
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
