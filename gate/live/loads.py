"""What each side gets when it is its turn: a closed loop in short blocks, or a window at a rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from modeldyno.base.errors import ConfigError
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.trials.compare.plan import FEWEST_PAIRS, BlockPlan, fewest_seconds, plan_blocks, round_seed
from modeldyno.trials.rounds.turns import Cell, Place, Taken, Turns
from modeldyno.trials.rounds.windows import WindowOrder, Windows

SHORTEST_WINDOW_S = 10.0
WINDOW_WARMUP_S = 0.3
WINDOW_START_S = 1.2
"""What a window costs beside itself and its warm-up: the generator starts, and the queue is seen empty."""
USUAL_START_S = 6.0
"""Before the first one: what generator, both servers and their warm-ups take."""
SPARE = 1.1
"""Times what is needed: starts and blocks are not always as long as the first ones."""


class Load(Protocol):
    """What a side gets in its turn."""

    def needed_s(self, request_s: Mapping[str, float]) -> float:
        """The shortest time that holds 24 pairs; `request_s` is one over each cell's requests a second."""

    def plan(self, request_s: Mapping[str, float], left_s: float) -> None:
        """Fix how long turns are, for what is left of the budget.

        Raises:
            ConfigError: it does not hold 24 pairs.
        """

    def take(self, turns: Turns, cell: Cell, place: Place) -> Taken:
        """Load the cell's server once."""


@dataclass
class ClosedLoop:
    """Blocks of users who wait for each answer."""

    seed: int
    timeout_s: float
    planned: BlockPlan | None = None

    def needed_s(self, request_s: Mapping[str, float]) -> float:
        """Of the shortest blocks."""
        return fewest_seconds(request_s)

    def plan(self, request_s: Mapping[str, float], left_s: float) -> None:
        """As `trials.compare.plan`."""
        self.planned = plan_blocks(request_s, left_s)

    def take(self, turns: Turns, cell: Cell, place: Place) -> Taken:
        """Take one block."""
        plan = self.planned
        assert plan is not None  # noqa: S101 - made before the first round
        order = BlockOrder(
            url="",
            requests=plan.requests,
            shortest_s=plan.shortest_s,
            longest_s=max(30.0, 3 * max(plan.block_s.values())),
            dropped=plan.dropped,
            timeout_s=self.timeout_s,
            seed=round_seed(place.round, self.seed),
        )
        return turns.take(cell, order, place)


@dataclass
class OpenLoop:
    """Windows of arrivals at a rate."""

    rate_rps: float
    mix: Mix
    seed: int
    timeout_s: float
    windows: Windows | None = None

    def needed_s(self, request_s: Mapping[str, float]) -> float:
        """Of the shortest windows."""
        return FEWEST_PAIRS * len(request_s) * (SHORTEST_WINDOW_S + WINDOW_WARMUP_S + WINDOW_START_S)

    def plan(self, request_s: Mapping[str, float], left_s: float) -> None:
        """Windows are as short as they may be: more time makes more pairs."""
        if left_s < self.needed_s(request_s):
            raise ConfigError(f"too short for {FEWEST_PAIRS} pairs of {SHORTEST_WINDOW_S:g} s")

    def take(self, turns: Turns, cell: Cell, place: Place) -> Taken:
        """Take one window."""
        if self.windows is None or self.windows.turns is not turns:
            self.windows = Windows(turns, self.mix)
        order = WindowOrder(
            rate_rps=self.rate_rps,
            window_s=SHORTEST_WINDOW_S,
            warmup_s=WINDOW_WARMUP_S,
            timeout_s=self.timeout_s,
            seed=round_seed(place.round, self.seed),
        )
        return self.windows.take(cell, order, place)


def too_small(budget_s: float, started_s: float, needed_s: float) -> ConfigError:
    """Say that a budget holds no verdict, and which would."""
    suffices_s = math.ceil(SPARE * ((started_s or USUAL_START_S) + needed_s))
    starting = f"the start of both sides took {started_s:.0f} s, and " if started_s else ""
    return ConfigError(
        f"`budget_s` {budget_s:g} is too small for any verdict: {starting}{FEWEST_PAIRS} pairs of turns, the "
        f"fewest that are judged, take {needed_s:.0f} s",
        field="budget_s",
        hint=f"`budget_s={suffices_s}` would do",
    )
