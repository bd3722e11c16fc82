"""Who goes on from the screening to the finals; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.ranking import Ranking, rank_rounds
from modeldyno.trials.compare.starts import ASSUMED, Spread
from modeldyno.trials.selection.contenders import Contender, cell_name, contender_of, users_of

MOST_FINALISTS = 4
STAGE_CONFIDENCE = 0.975
"""Of the screening and of the finals each: of both together 95 %."""

Score = Callable[[str, Block], float]
"""Logarithm of what is to be small, of a cell's block."""


@dataclass(frozen=True)
class Chosen:
    """The cells of the finals, and what the screening says of the candidates."""

    cells: tuple[str, ...]
    best: Mapping[str, str]
    """Of each candidate the cell that it stands at."""
    ranking: Ranking | None
    """Of the candidates' best cells."""


def choose(
    blocks: Sequence[Block],
    contenders: Sequence[Contender],
    score: Score,
    meets: Callable[[str], bool],
    seed: int,
) -> Chosen:
    """Pick the candidates that can be best, at most four, each at the levels that can be its best.

    The uncompiled baseline of each finalist goes with it, so that they are compared in the same rounds.

    Args:
        blocks: of the screening.
        contenders: all that were measured.
        score: what is to be small.
        meets: of a cell, whether it may meet the limits; where none of a candidate's does, it takes no part.
        seed: of the resampling.
    """
    logs = logs_of(blocks, score)
    levels = _levels(logs, meets, seed)
    best = {key: _cheapest(cells, logs) for key, cells in levels.items()}
    ranking = _ranked({key: logs[cell] for key, cell in best.items()}, seed)
    finalists = _finalists(ranking)
    cells = [cell for key in finalists for cell in levels[key]]
    anchors = {each.key: each.anchor for each in contenders}
    for key in finalists:
        cells += _of_the_anchor(anchors[key], best[key], logs, best)
    return Chosen(tuple(dict.fromkeys(cells)), best, ranking)


def logs_of(blocks: Sequence[Block], score: Score) -> dict[str, Floats]:
    """Of each cell its score in every round, NaN where it has no block in it."""
    rounds = sorted({block.round for block in blocks})
    place = {number: index for index, number in enumerate(rounds)}
    found = dict[str, Floats]()
    for block in blocks:
        row = found.setdefault(block.candidate, np.full(len(rounds), np.nan))
        if block.whole:
            row[place[block.round]] = score(block.candidate, block)
    return {cell: row for cell, row in found.items() if np.isfinite(row).any()}


def epochs_of(blocks: Sequence[Block]) -> list[int]:
    """Which start each round belongs to, in the order of `logs_of`."""
    by_round = {block.round: block.epoch for block in blocks}
    return [by_round[number] for number in sorted(by_round)]


def _levels(logs: Mapping[str, Floats], meets: Callable[[str], bool], seed: int) -> dict[str, list[str]]:
    """Of each candidate the levels that may meet the limits and can be its best."""
    found = dict[str, list[str]]()
    for cell in logs:
        if meets(cell):
            found.setdefault(contender_of(cell), []).append(cell)
    return {
        key: list(
            rank_rounds(
                {c: logs[c] for c in cells}, dict.fromkeys(cells, 1), Spread(0.0, 1), seed=seed
            ).not_told_apart
        )
        for key, cells in found.items()
    }


def _cheapest(cells: Sequence[str], logs: Mapping[str, Floats]) -> str:
    return min(cells, key=lambda cell: float(np.nanmedian(logs[cell])))


def _ranked(logs: Mapping[str, Floats], seed: int) -> Ranking | None:
    if not logs:
        return None
    return rank_rounds(logs, dict.fromkeys(logs, 1), ASSUMED, seed=seed, confidence=STAGE_CONFIDENCE)


def _finalists(ranking: Ranking | None) -> list[str]:
    if ranking is None:
        return []
    able = list(ranking.not_told_apart)
    if len(able) == 1 and len(ranking.rows) > 1:
        # The next is measured too: a winner's figure needs one to be compared with.
        able.append(next(row.candidate for row in ranking.rows if row.candidate != able[0]))
    return able[:MOST_FINALISTS]


def _of_the_anchor(anchor: str, cell: str, logs: Mapping[str, Floats], best: Mapping[str, str]) -> list[str]:
    """The baseline at the level of a finalist's best cell, and at its own best."""
    same = cell_name(anchor, users_of(cell))
    own = [best[anchor]] if anchor in best else []
    return [each for each in (same, *own) if each in logs]
