"""What a reader of the answer must know first, in the order of what it changes about the answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modeldyno.base.records.ranked_warning import Rank
from modeldyno.base.records.run import Row
from modeldyno.reports import remarks
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text import phrases

MOST = 3
"""Lines that a reader takes in; the rest stands below, or in the report."""
RANKS: tuple[Rank, ...] = ("void", "weak", "note")
VOID_MARK = "INVALID: "
WORDS: dict[Rank, str] = {"void": "void", "weak": "less sure", "note": "note"}
ADVICE: dict[Rank, str] = {"weak": "measure again on a quiet machine with a core to spare for the load"}
"""Where a warning of the run brings none."""


@dataclass(frozen=True)
class Alert:
    """One warning; `advice` is empty where nothing is to be done."""

    rank: Rank
    text: str
    advice: str = ""

    @property
    def word(self) -> str:
        """The rank as readers know it."""
        return WORDS[self.rank]

    @property
    def line(self) -> str:
        """Rank, text and advice on one line."""
        return f"{self.word}: {self.said}"

    @property
    def said(self) -> str:
        """Text and advice."""
        return f"{self.text} \u2192 {self.advice}" if self.advice else self.text


def alerts(run: Run) -> tuple[Alert, ...]:
    """The run's own warnings by rank, then those of rows and their load tests."""
    own = [
        Alert(one.rank, phrases.said(one.text), phrases.said(one.advice) or ADVICE.get(one.rank, ""))
        for one in run.recommendation.warnings
    ]
    if not any(one.rank == "void" for one in own):
        own += _void(run)
    own.sort(key=lambda one: RANKS.index(one.rank))
    return (*own, *_of_rows(run))


def _void(run: Run) -> Iterator[Alert]:
    rows = [row for row in run.recommendation.ranking if not row.valid]
    if rows:
        reason = phrases.said(rows[0].invalid_reasons[0])
        yield Alert("void", f"{_names(rows)}: not ranked, the load test is void: {reason}", "run it again")


def _names(rows: list[Row]) -> str:
    names = [f"{row.instance_type} {phrases.backend(row.backend)}" for row in rows]
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more} more" if more > 0 else "")


def _of_rows(run: Run) -> Iterator[Alert]:
    for remark in remarks.warnings(run):
        if not remark.text.startswith(VOID_MARK):  # said above
            yield Alert("note", f"{remark.text} ({remark.where})")
