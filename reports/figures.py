"""What is drawn of the comparison, as plain data: distances to the best, ratios, two sides' latencies."""

from __future__ import annotations

import math
from collections.abc import Iterator

from modeldyno.base.records.levels import level_of
from modeldyno.base.records.run import Row
from modeldyno.reports.charts.forest import Mark
from modeldyno.reports.charts.overlay import Side, side
from modeldyno.reports.naming import distinct, short_name
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import colours, tags
from modeldyno.reports.results.speedup import BASELINE, Ratio, rival, speedup
from modeldyno.reports.text.digits import TIMES, shown

MOST_MARKS = 12


def distances(run: Run) -> tuple[Mark, ...]:
    """Return each machine's cost against the best of the others, best first; empty without such rounds."""
    rows = distinct(run, [row for row in run.recommendation.ranking if row.valid])
    return tuple(_mark(run, row, ratio) for row in rows[:MOST_MARKS] if (ratio := _against(row)) is not None)


def _against(row: Row) -> Ratio | None:
    if row.against_best is None:
        return None
    low, high = row.against_best_low, row.against_best_high
    return Ratio(row.against_best, 0.0 if low is None else low, math.inf if high is None else high, "")


def ratios(run: Run) -> tuple[Mark, ...]:
    """Return how many times as many requests each compiled machine answers as its baseline."""
    found = ((row, speedup(run, row)) for row in distinct(run, run.recommendation.ranking))
    pairs = [(row, ratio) for row, ratio in found if ratio is not None]
    return tuple(_mark(run, row, ratio) for row, ratio in pairs[:MOST_MARKS])


def _mark(run: Run, row: Row, ratio: Ratio) -> Mark:
    words = shown(ratio.value, ratio.low, ratio.high)
    interval = f" ({words.interval})" if words.interval else ""
    tag = next(tag for tag, other in tags(run) if other is row)
    colour = colours(run).get(tag, 0)
    label = f"{tag} · {short_name(run, row).replace('the compiled model', 'compiled')}"
    return Mark(
        label=label.replace(" with ", " · "),
        text=f"{words.text}{TIMES}{interval}",
        value=ratio.value,
        low=ratio.low,
        high=ratio.high,
        colour=colour,
        hollow=row.backend == BASELINE,
    )


def sides(run: Run) -> tuple[Side, ...]:
    """Return the latencies of the best machine and of what it is compared with, under the same load."""
    for row, other in _pairs(run):
        ours = run.level(row)
        level = level_of(ours.spec) if ours is not None else None
        theirs = next((one for one in run.points(other) if level_of(one.spec) == level), None)
        if ours is None or theirs is None:
            continue
        shades = colours(run)
        tag = {id(one): tag for tag, one in tags(run)}
        first, second = (shades.get(tag[id(one)], 0) for one in (row, other))
        drawn = (
            side("compiled", ours, first or 1, dashed=False),
            side("ONNX Runtime", theirs, second or 2, dashed=True),
        )
        if all(drawn):
            return tuple(one for one in drawn if one is not None)
    return ()


def _pairs(run: Run) -> Iterator[tuple[Row, Row]]:
    """Compiled rows with their baselines: that of the best row first."""
    rows = [row for row in run.recommendation.ranking if row.valid]
    for best in rows[:1]:
        same = [row for row in run.rows if row.instance_type == best.instance_type and row is not best]
        for row in (best, *(row for row in same if best.backend == BASELINE)):
            if (other := rival(run, row)) is not None:
                yield row, other
