"""Gates played from the tape: whole epochs are drawn or swapped, never single pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.gate.tape import EPOCH_S, TapeEpoch
from modeldyno.trials.compare.blocks import Block, Pair
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.latencies import binned
from modeldyno.trials.compare.looks.detectable import smallest_regression
from modeldyno.trials.compare.looks.sequential import Limit, Progress, limit_of, look
from modeldyno.trials.compare.looks.spending import ALPHA, LOOKS
from modeldyno.trials.compare.metrics import P50, statistic_of
from modeldyno.trials.compare.plan import FEWEST_PAIRS

NEVER = Limit(regression=-0.99, floor=0.0)
"""A limit that nothing passes and no floor: the test is asked at every look."""

FIVE_PERCENT = limit_of(0.05)


@dataclass(frozen=True)
class Played:
    """How a gate ended."""

    verdict: str
    seconds: float
    """Of the tape, until then."""
    smallest: float | None = None
    """The regression that it states to find 80 % of the time."""


@dataclass(frozen=True)
class Game:
    """What is played."""

    metric: str = P50
    limit: Limit = FIVE_PERCENT
    alpha: float = ALPHA
    slower: float = 1.0
    """The candidate is made slower by this factor."""


SIGNS = Signs(0)


def play(drawn: Sequence[TapeEpoch], swapped: Sequence[bool], game: Game) -> Played:
    """Play one gate whose budget is as long as these epochs."""
    numbered = list(_pairs(drawn, swapped, game.slower))
    budget_s, progress = EPOCH_S * len(drawn), Progress()
    for share in LOOKS:
        # At the end of the budget all pairs there are count: the last round of an epoch may end behind it.
        seen = [each for each in numbered if share >= 1 or each.at_s <= share * budget_s]
        clean = [each.pair for each in seen if not each.tainted]
        judged = clean if len(clean) >= FEWEST_PAIRS else [each.pair for each in seen]
        if not judged:
            continue
        statistics = {game.metric: statistic_of(game.metric, judged)}
        progress = look(progress, statistics, SIGNS, share, {game.metric: game.limit}, alpha=game.alpha)
        if progress.verdict is not None:
            return _ended(progress, share, len(numbered), budget_s, game)
    return Played("inconclusive", budget_s)


@dataclass(frozen=True)
class _Numbered:
    pair: Pair
    at_s: float
    tainted: bool


def _pairs(drawn: Sequence[TapeEpoch], swapped: Sequence[bool], slower: float) -> Iterator[_Numbered]:
    number = 0
    for place, (epoch, swap) in enumerate(zip(drawn, swapped, strict=True)):
        if not epoch.pairs:
            continue
        began_s = min(min(pair.baseline.start_s, pair.candidate.start_s) for pair in epoch.pairs)
        for pair in epoch.pairs:
            ours, theirs = (pair.candidate, pair.baseline) if swap else (pair.baseline, pair.candidate)
            ends_s = max(block.start_s + block.seconds for block in (ours, theirs))
            at_s = EPOCH_S * place + ends_s - began_s
            candidate = scaled(theirs, slower)
            yield _Numbered(Pair(number, ours, candidate), at_s, pair.number in epoch.tainted)
            number += 1


def scaled(block: Block, slower: float) -> Block:
    """The block as it would be if every request took so many times as long."""
    if slower == 1:
        return block
    longer = binned(np.rint(block.latency_us * slower))
    cpu_s = None if block.cpu_s is None else block.cpu_s * slower
    return replace(block, latency_us=longer, seconds=block.seconds * slower, cpu_s=cpu_s)


def _ended(progress: Progress, share: float, pairs: int, budget_s: float, game: Game) -> Played:
    verdict = progress.verdict or "inconclusive"
    each = progress.latest.get(game.metric)
    if each is None or game.limit is NEVER:
        return Played(verdict, share * budget_s)
    found = smallest_regression(game.metric, each, pairs, game.limit, alpha=game.alpha)
    return Played(verdict, share * budget_s, found if math.isfinite(found) else None)


def draws(
    epochs: Sequence[TapeEpoch], number: int, tries: int, seed: int
) -> Iterator[tuple[list[TapeEpoch], list[bool]]]:
    """Draw `tries` gates of so many different epochs, the sides of each swapped by a coin."""
    rng = np.random.default_rng(seed)
    for _ in range(tries):
        places = rng.choice(len(epochs), size=min(number, len(epochs)), replace=False)
        coins = rng.random(len(places)) < 0.5
        yield [epochs[place] for place in places], [bool(coin) for coin in coins]


def disjoint(epochs: Sequence[TapeEpoch]) -> Iterator[tuple[list[TapeEpoch], list[bool]]]:
    """Each epoch as a gate of its own, sides as recorded."""
    for epoch in epochs:
        yield [epoch], [False]
