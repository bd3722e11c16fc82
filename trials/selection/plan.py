"""How many rounds of which blocks a stage of the selection gets; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from modeldyno.trials.compare.plan import (
    DROPPED,
    FEWEST_DROPPED,
    FEWEST_PAIRS,
    FEWEST_REQUESTS,
    OVERHEAD_S,
    REQUESTS,
    SHORTEST_BLOCK_S,
)

SCREENING_ROUNDS = 6
FEWEST_ROUNDS = 5
SCREENING_SHARE = 1 / 3
"""Of the time that all cells have together."""


@dataclass(frozen=True)
class StagePlan:
    """The blocks of one stage."""

    requests: int
    dropped: int
    block_s: float
    """Shortest block."""
    rounds: int
    seconds: float
    """All rounds, starts and warm-ups apart."""


def plan_stage(
    request_s: Mapping[str, float], budget_s: float, wanted: int, most: int | None = None
) -> StagePlan:
    """As many rounds as the budget holds, of blocks as large as leave `wanted` rounds.

    Args:
        request_s: of each cell one over its requests a second.
        budget_s: of all cells together.
        wanted: rounds for which blocks are made smaller, down to 4 requests.
        most: rounds that are enough; longer blocks then fill the time.
    """
    sizes = [(REQUESTS, DROPPED), *((n, FEWEST_DROPPED) for n in range(REQUESTS, FEWEST_REQUESTS - 1, -1))]
    for requests, dropped in sizes:
        round_s = _round_s(request_s.values(), requests, dropped)
        rounds = int(budget_s / round_s)
        if rounds >= wanted:
            break
    rounds = max(FEWEST_ROUNDS, rounds)
    if most is not None:
        rounds = min(rounds, most)
    return StagePlan(requests, dropped, SHORTEST_BLOCK_S, rounds, rounds * round_s)


def finals_wanted(
    request_s: Mapping[str, float], budget_s: float, min_samples: int, longest_s: float
) -> float:
    """Seconds for the finals: what is left, but enough for `min_samples` of each cell, and for 24 rounds.

    No cell gets more than `longest_s`.
    """
    cells = len(request_s)
    for_samples = sum(min(longest_s, min_samples * each) for each in request_s.values())
    for_rounds = min(
        cells * longest_s, FEWEST_PAIRS * _round_s(request_s.values(), FEWEST_REQUESTS, FEWEST_DROPPED)
    )
    return min(cells * longest_s, max(budget_s, for_samples, for_rounds))


def with_samples(plan: StagePlan, min_samples: int, most_s: float) -> StagePlan:
    """The same with as many rounds as `min_samples` of each cell need, within `most_s` of all rounds."""
    round_s = plan.seconds / plan.rounds
    wanted = min(math.ceil(min_samples / plan.requests), int(most_s / round_s))
    rounds = max(plan.rounds, wanted)
    return replace(plan, rounds=rounds, seconds=rounds * round_s)


def too_slow(request_s: float, longest_s: float) -> str:
    """Say why a cell can't be measured in the time that it may have at most; empty where it can."""
    needed_s = FEWEST_ROUNDS * _round_s([request_s], FEWEST_REQUESTS, FEWEST_DROPPED)
    if needed_s <= longest_s:
        return ""
    return (
        f"too slow to compare in {longest_s:g} s: {FEWEST_ROUNDS} blocks of {FEWEST_REQUESTS} requests take "
        f"{math.ceil(needed_s)} s, one request {request_s:.3g} s: give load.max_duration_s so much"
    )


def _round_s(request_s: Iterable[float], requests: int, dropped: int) -> float:
    return sum(max(SHORTEST_BLOCK_S, requests * each) + dropped * each + OVERHEAD_S for each in request_s)
