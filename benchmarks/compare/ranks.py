"""Simulated rankings: how often all intervals hold, the best is excluded, and a winner is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.compare.simulate import (
    DISTURBED,
    MACHINES,
    QUIET,
    Machine,
    block_logs,
    counted,
    epoch_numbers,
)
from modeldyno.trials.compare.ranking import Ranking, rank_rounds
from modeldyno.trials.compare.starts import Spread, between_starts_of_rounds

Row = dict[str, Any]
STARTS = 2
NO_SPREAD = Spread(0.0, 1000)


def rankings(tries: int) -> Iterator[Row]:
    """Candidates 0, 2 and then 10, 20, ... % apart, and all alike."""
    for candidates, rounds in ((2, 60), (5, 24), (10, 24), (3, 5)):
        for name, machine in MACHINES.items():
            apart = [0.0, 0.02, *(0.1 * step for step in range(1, candidates - 1))][:candidates]
            yield from _rows(
                f"{candidates} candidates, {rounds} rounds, {name}", machine, apart, rounds, tries
            )
    for sd in (0.0035, 0.01):
        differing = replace(QUIET, start_sd=sd)
        what = f"2 candidates, 60 rounds, starts differ by {100 * sd:.2g} %"
        yield from _rows(what, differing, [0.0, 0.02], 60, tries)
    both = replace(DISTURBED, start_sd=0.01)
    yield from _rows("2 candidates, 60 rounds, starts differ by 1 %, disturbed", both, [0.0, 0.25], 60, tries)


def _rows(what: str, machine: Machine, apart: list[float], rounds: int, tries: int) -> Iterator[Row]:
    rng = np.random.default_rng(7)
    true = {f"c{place}": each - min(apart[:place] + apart[place + 1 :]) for place, each in enumerate(apart)}
    found = [_ranked(rng, machine, apart, rounds) for _ in range(tries)]
    held = sum(all(row.low <= true[row.candidate] <= row.high for row in ranking.rows) for ranking in found)
    wrong = sum("c0" not in ranking.not_told_apart for ranking in found)
    yield {
        "what": what,
        **counted(held, tries),
        "best_excluded": wrong / tries,
        "winner_named": sum(ranking.winner == "c0" for ranking in found) / tries,
        "median_width_of_first": round(float(np.median([r.rows[0].high - r.rows[0].low for r in found])), 4),
    }


def _ranked(rng: np.random.Generator, machine: Machine, apart: list[float], rounds: int) -> Ranking:
    logs = block_logs(rng, machine, len(apart), rounds, STARTS) + np.array(apart)[:, None]
    named = {f"c{place}": row for place, row in enumerate(logs)}
    epochs = [int(epoch) for epoch in epoch_numbers(rounds, STARTS)]
    spread = between_starts_of_rounds(named, epochs) if machine.start_sd else NO_SPREAD
    return rank_rounds(named, dict.fromkeys(named, STARTS), spread)
