"""What is drawn: a series per measured candidate with its tag, colour and line style; a bar per cost."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.run import Row
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.speedup import BASELINE
from modeldyno.reports.text import phrases

# The palette has six colours that stay apart for colour-blind readers; the others are drawn in grey.
COLOURED = 6


@dataclass(frozen=True)
class Series:
    """One candidate in the charts."""

    tag: str
    name: str
    colour: int
    dashed: bool
    rejected: bool
    void: bool
    points: tuple[LoadResult, ...]
    level: LoadResult


@dataclass(frozen=True)
class Bar:
    """One line of the cost chart, in dollars per million requests."""

    label: str
    value: float
    low: float | None
    high: float | None
    text: str
    colour: int
    best: bool
    baseline: bool


def tags(run: Run) -> tuple[tuple[str, Row], ...]:
    """Give every row a short tag: its rank, V1, V2, ... for the void ones, R1, R2, ... for the rejected."""
    ranking = run.recommendation.ranking
    ranked = [(str(row.rank or number), row) for number, row in enumerate(ranking, 1) if row.valid]
    void = [(f"V{number}", row) for number, row in enumerate([row for row in ranking if not row.valid], 1)]
    rejected = [(f"R{number}", row) for number, row in enumerate(run.recommendation.rejected, 1)]
    return (*ranked, *void, *rejected)


def all_series(run: Run) -> tuple[Series, ...]:
    """Return the candidates that have a measured point, ranked ones first; the first six get a colour.

    What is one machine here was measured once, and is drawn once.
    """
    found: list[Series] = []
    seen = set[str]()
    for tag, row in tags(run):
        points = tuple(point for point in run.points(row) if point.samples)
        if not points or run.measured_key(row) in seen:
            continue
        seen.add(run.measured_key(row))
        level = run.level(row)
        colour = len(found) + 1 if len(found) < COLOURED else 0
        found.append(
            Series(
                tag=tag,
                name=phrases.configuration(row),
                colour=colour,
                dashed=row.backend == BASELINE,
                rejected=row.rank is None,
                void=not row.valid,
                points=points,
                level=level if level is not None and level.samples else points[-1],
            )
        )
    return tuple(found)


def colours(run: Run) -> dict[str, int]:
    """Give the colour of each tag that is drawn; another name of the same machine has that machine's."""
    drawn = {one.tag: one.colour for one in all_series(run)}
    by_key = {run.measured_key(row): drawn[tag] for tag, row in tags(run) if tag in drawn}
    return {tag: by_key[key] for tag, row in tags(run) if (key := run.measured_key(row)) in by_key}
