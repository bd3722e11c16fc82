"""One trial of a candidate from what each of its starts measured; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from modeldyno.base.records.levels import Level, level_of
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.run import Trial
from modeldyno.trials.whole.combined import Spreads, combined, spreads_of, standing
from modeldyno.trials.whole.confirmed import with_confirmations

Levels = dict[Level, list[LoadResult]]


def summed(starts: Mapping[str, Sequence[Trial]]) -> dict[str, Trial]:
    """Sum up the starts of each candidate; what rounds differ by is pooled over all of them.

    Args:
        starts: by the candidate's key, at least one; of a search the search itself, then its confirmations.
    """
    levels = {key: _levels(trials) for key, trials in starts.items()}
    spreads = spreads_of(tests for each in levels.values() for tests in each.values())
    return {key: _trial(list(trials), levels[key], spreads) for key, trials in starts.items()}


def _repeated(trials: Sequence[Trial]) -> Sequence[Trial]:
    """The starts that repeat each other: of a search its confirmations."""
    return trials[1:] if trials[0].search is not None else trials


def _levels(trials: Sequence[Trial]) -> Levels:
    """The tests of each level, one a start: of several in one start, the valid ones that stand."""
    found: Levels = {}
    for trial in _repeated(trials):
        own: Levels = {}
        for point in trial.points:
            own.setdefault(level_of(point.spec), []).append(point)
        for level, points in own.items():
            found.setdefault(level, []).append(standing(points)[-1])
    return found


def _trial(starts: list[Trial], levels: Levels, spreads: Spreads) -> Trial:
    first = starts[0]
    if first.failure is not None:
        return first
    searched = first.points if first.search is not None else ()
    whole = first.model_copy(
        update={
            "seconds": math.fsum(trial.seconds for trial in starts),
            "points": (*searched, *(combined(tests, spreads) for tests in levels.values())),
            "notes": tuple(dict.fromkeys(note for trial in starts for note in trial.notes)),
            "warnings": (
                *dict.fromkeys(text for trial in starts for text in trial.warnings),
                *_failures(starts),
            ),
            "weak": tuple(_weak(starts, levels)),
            "starts": max(1, sum(bool(trial.points) for trial in _repeated(starts))),
        }
    )
    tries = [trial.search for trial in starts[1:] if trial.search is not None]
    if first.search is None or first.search.met_rps is None or len(starts) == 1:
        return whole
    search, weak = with_confirmations(first.search, tries)
    return whole.model_copy(update={"search": search, "weak": (*weak, *whole.weak)})


def _failures(starts: Sequence[Trial]) -> Iterator[str]:
    for number, trial in enumerate(starts[1:], 2):
        if trial.failure is not None:
            yield f"start {number} of {len(starts)} failed: {trial.failure}"


def _weak(starts: Sequence[Trial], levels: Levels) -> Iterator[str]:
    failed = sum(trial.failure is not None for trial in starts)
    if failed:
        yield f"it failed in {failed} of {len(starts)} starts"
    if starts[0].search is not None:
        return  # void confirmations are told with the rate
    rounds = max(map(len, levels.values()), default=0)
    void = max((sum(not test.valid for test in tests) for tests in levels.values()), default=0)
    if 0 < void < rounds:
        yield f"{void} of {rounds} rounds were void: their load tests do not count"
