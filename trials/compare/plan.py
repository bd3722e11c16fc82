"""How long a block is, how many pairs that leaves, and who comes when; pure.

A block lasts 0.25 s and holds 20 requests at least. Where the time there is would hold fewer than 24 pairs of
such blocks, it holds as many requests as leave 24 pairs, 4 at least. Where even that is too much, the plan is
refused before anything is measured, with the time that would do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modeldyno.base.errors import ConfigError

SHORTEST_BLOCK_S = 0.25
REQUESTS, FEWEST_REQUESTS = 20, 4
FEWEST_PAIRS = 24
DROPPED, FEWEST_DROPPED = 2, 1
"""First requests of a block, which meet cold caches, and are not counted; one where requests are dear."""
_ROUNDS, _STARTS, _BODIES = 1, 2, 3
"""Streams of their own: the sign vectors of the same seed know nothing of the orders."""
OVERHEAD_S = 0.05
"""What a block may cost beside its load."""


@dataclass(frozen=True)
class BlockPlan:
    """The blocks of a run."""

    requests: int
    """That each block counts at least."""
    shortest_s: float
    """That each block lasts at least."""
    dropped: int
    """First requests of each block that are not counted."""
    block_s: Mapping[str, float]
    """How long the blocks of each candidate will be, dropped requests and overhead apart."""
    round_s: float
    """How long a round will take, everything included."""
    rounds: int
    """Rounds that the budget holds: as many pairs of any two candidates."""


def plan_blocks(
    request_s: Mapping[str, float], budget_s: float, *, overhead_s: float = OVERHEAD_S
) -> BlockPlan:
    """Plan the blocks of one load level.

    Args:
        request_s: for each candidate one over its requests a second under that load.
        budget_s: what there is for blocks, starts and warm-ups apart.
        overhead_s: what each block costs beside its load.

    Raises:
        ConfigError: too slow for 24 pairs in the budget.
    """
    for requests, dropped in _sizes():
        plan = _plan(request_s, budget_s, requests, dropped, overhead_s)
        if plan.rounds >= FEWEST_PAIRS:
            return plan
    slowest_s = max(request_s.values())
    suffices_s = math.ceil(fewest_seconds(request_s, overhead_s=overhead_s))
    raise ConfigError(
        f"too slow for {FEWEST_PAIRS} pairs in {budget_s:.3g} s: the shortest blocks take {suffices_s} s "
        f"({SHORTEST_BLOCK_S:g} s and {FEWEST_REQUESTS} requests each; one takes up to {slowest_s:.3g} s); "
        f"give it {suffices_s} s"
    )


def fewest_seconds(request_s: Mapping[str, float], *, overhead_s: float = OVERHEAD_S) -> float:
    """The shortest budget that `plan_blocks` takes."""
    return FEWEST_PAIRS * _plan(request_s, 0.0, FEWEST_REQUESTS, FEWEST_DROPPED, overhead_s).round_s


def round_order(candidates: Sequence[str], number: int, seed: int) -> tuple[str, ...]:
    """Who comes when in a round, drawn: a coin for two. A round's order hangs on no other round."""
    return _drawn(candidates, (seed, number, _ROUNDS))


def start_order(candidates: Sequence[str], epoch: int, seed: int) -> tuple[str, ...]:
    """Who is started first in an epoch, drawn."""
    return _drawn(candidates, (seed, epoch, _STARTS))


def round_seed(number: int, seed: int) -> int:
    """A seed for the bodies and arrivals of a round, the same for all of its blocks; 32 bits."""
    return int(np.random.SeedSequence((seed, number, _BODIES)).generate_state(1)[0])


def _drawn(candidates: Sequence[str], entropy: tuple[int, ...]) -> tuple[str, ...]:
    places = np.random.default_rng(entropy).permutation(len(candidates))
    return tuple(candidates[place] for place in places)


def epoch_of(share: float, starts: Sequence[float] = (0.2, 0.4, 0.6, 0.8)) -> int:
    """Which start of the servers is due when `share` of the budget is gone; a new one at each of `starts`."""
    return sum(share >= start for start in starts)


def _sizes() -> list[tuple[int, int]]:
    fewer = [(requests, FEWEST_DROPPED) for requests in range(REQUESTS, FEWEST_REQUESTS - 1, -1)]
    return [(REQUESTS, DROPPED), *fewer]


def _plan(
    request_s: Mapping[str, float], budget_s: float, requests: int, dropped: int, overhead_s: float
) -> BlockPlan:
    block_s = {name: max(SHORTEST_BLOCK_S, requests * each) for name, each in request_s.items()}
    round_s = sum(block_s[name] + dropped * each + overhead_s for name, each in request_s.items())
    rounds = int(budget_s / round_s * (1 + 1e-12))
    return BlockPlan(requests, SHORTEST_BLOCK_S, dropped, block_s, round_s, rounds)
