"""What the records themselves say against their numbers: each remark once, with the places it concerns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from modeldyno.base.records.levels import level_of
from modeldyno.base.records.run import Row
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import tags
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import EN_DASH

EVERYWHERE = "every load test"
MOST_PLACES = 10
# A number of its own, not the digits of a name such as c7a.large or p99.
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-])(?!\.\w)")


@dataclass(frozen=True)
class Remark:
    """A sentence, and the tags (with load levels) that it is about."""

    text: str
    where: str


def warnings(run: Run) -> tuple[Remark, ...]:
    """Collect what taints numbers: from the rows, from their load tests, and what does not fit together.

    Warnings that differ in their numbers alone become one, with the span of each number.
    """
    found: dict[str, list[str]] = {}
    places: dict[str, dict[str, dict[str, None]]] = {}
    for tag, row in tags(run):
        for load, text in _warned(run, row):
            pattern = _pattern(text)
            found.setdefault(pattern, []).append(phrases.said(text))
            places.setdefault(pattern, {}).setdefault(tag, {})[load] = None
    grouped = (
        Remark(_spanned(texts), _where(run, pattern, places[pattern])) for pattern, texts in found.items()
    )
    return (*grouped, *_misfits(run))


def notes(run: Run) -> tuple[Remark, ...]:
    """Collect what the emulation leaves out, as the trials tell."""
    found: dict[str, list[str]] = {}
    for tag, row in tags(run):
        trial = run.trials.get(row.trial)
        for text in dict.fromkeys(trial.notes if trial else ()):
            found.setdefault(text, []).append(tag)
    everyone = [tag for tag, row in tags(run) if row.trial in run.trials]
    return tuple(
        Remark(phrases.log_text(text), "all" if at == everyone else _shorten(at))
        for text, at in found.items()
    )


def tainted(run: Run, row: Row) -> bool:
    """Tell whether the row has a warning of its own, one that not every load test of the run has."""
    level = run.level(row)
    texts = {*row.warnings, *(level.warnings if level else ())}
    return any(not _is_everywhere(run, _pattern(text)) for text in texts)


def _warned(run: Run, row: Row) -> Iterator[tuple[str, str]]:
    for text in row.warnings:
        yield phrases.load(*level_of(row)), text
    for point in run.points(row):
        for text in point.warnings:
            yield phrases.load(*level_of(point.spec)), text


def _pattern(text: str) -> str:
    return _NUMBER.sub("#", phrases.said(text))


def _spanned(texts: Sequence[str]) -> str:
    """Merge texts that differ in numbers alone: one that varies becomes its span."""
    columns = list(zip(*(_NUMBER.findall(text) for text in texts), strict=True))
    spans = iter([_span(column) for column in columns])
    return _NUMBER.sub(lambda _: next(spans), texts[0])


def _span(numbers: Sequence[str]) -> str:
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if float(low) == float(high) else f"{low}{EN_DASH}{high}"


def _is_everywhere(run: Run, pattern: str) -> bool:
    points = [point for row in run.rows for point in run.points(row)]
    return len(points) > 1 and all(pattern in map(_pattern, point.warnings) for point in points)


def _where(run: Run, pattern: str, at: Mapping[str, Iterable[str]]) -> str:
    if _is_everywhere(run, pattern):
        return EVERYWHERE
    return _shorten([_place(tag, loads) for tag, loads in at.items()], "; ")


def _place(tag: str, loads: Iterable[str]) -> str:
    named = [load for load in loads if load]
    return f"{tag} at {', '.join(named)}" if named else tag


def _shorten(places: list[str], between: str = ", ") -> str:
    more = len(places) - MOST_PLACES
    return between.join(places[:MOST_PLACES]) + (f" and {more} more" if more > 0 else "")


def _misfits(run: Run) -> Iterator[Remark]:
    """Say what in the folder does not fit together."""
    if lost := [tag for tag, row in tags(run) if row.trial not in run.trials]:
        yield Remark("The trial record is missing: no curves and no load levels.", _shorten(lost))
    if extra := sorted(run.trials.keys() - {row.trial for row in run.rows}):
        yield Remark("Trial records that the recommendation does not name are left out.", _shorten(extra))
    cpu = run.recommendation.host.cpu_model
    if moved := [tag for tag, row in tags(run) if any(p.host.cpu_model != cpu for p in run.points(row))]:
        yield Remark("Taken on another processor than the one named above: do not compare.", _shorten(moved))
