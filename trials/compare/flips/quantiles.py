"""High percentiles of pairs: pooled over all clean pairs, labels swapped by whole pairs; pure.

A block has too few requests for a p99 of its own. So each request is divided by its pair's median, which
takes out what the machine did to both; the requests of each side are pooled, and the statistic is the log
ratio of the pools' quantiles. A sign of -1 swaps the two blocks of a pair between the pools: what is slow
together stays together, so that bursts widen the interval as they should.

The pair's median is the geometric mean of its two blocks' medians: it does not hang on the labels, nor on
which side had more requests, and if one side is slower by a factor, both sides move by its root, in opposite
directions. That keeps the p-value monotone in the hypothetical ratio, as `statistic` needs it.

Counts are taken at about 200 values, dense where the quantile may fall; between them the logarithm is linear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modeldyno.trials.compare.blocks import Block, Pair
from modeldyno.trials.compare.latencies import Floats

DENSE, COARSE = 192, 32
_ROUNDING = 1e-12
REACH = 8.0
"""How far from the quantile the values lie dense, in standard deviations of its share."""


@dataclass(frozen=True, eq=False)
class PooledQuantile:
    """The log ratio of a quantile, candidate over baseline."""

    numbers: tuple[int, ...]
    share: float
    baseline: tuple[Floats, ...]
    """Sorted log latencies of each pair, less its log median."""
    candidate: tuple[Floats, ...]

    @cached_property
    def estimate(self) -> float:
        """The log ratio, candidate over baseline."""
        return float(self.flipped(np.ones((1, len(self.numbers))), 0.0)[0])

    @cached_property
    def _sizes(self) -> tuple[Floats, Floats]:
        sides = (self.baseline, self.candidate)
        ours, theirs = (np.array([len(block) for block in side], np.float64) for side in sides)
        return ours, theirs

    def flipped(self, signs: Floats, less: float) -> Floats:
        """As `Statistic`."""
        edges = self._edges(less)
        ours = _counts(self.baseline, edges - less / 2)
        theirs = _counts(self.candidate, edges + less / 2)
        swapped = signs.astype(np.float32) @ (theirs - ours)
        sizes = self._sizes
        more, all_ = signs @ (sizes[1] - sizes[0]), (ours + theirs).sum(axis=0)
        wanted = [self.share * (sizes[0].sum() + sizes[1].sum() + side * more) / 2 for side in (1, -1)]
        return _quantile(edges, all_, swapped, wanted[0]) - _quantile(edges, all_, -swapped, wanted[1])

    def _edges(self, less: float) -> Floats:
        """Values at which requests are counted, ascending; they do not hang on the labels.

        Dense from the quantile of each pair's faster block to that of its slower one, and around them.
        """
        moved = [[each + less / 2 for each in self.baseline], [each - less / 2 for each in self.candidate]]
        ordered = [sorted(blocks, key=self._own) for blocks in zip(*moved, strict=True)]
        faster, slower = (np.sort(np.concatenate(pool)) for pool in zip(*ordered, strict=True))
        pool = np.sort(np.concatenate([faster, slower]))
        low, high = np.searchsorted(pool, [self._own(faster), self._own(slower)]) / len(pool)
        # A block counts as a few independent requests only, however many it has.
        reach = REACH * math.sqrt(self.share * (1 - self.share) / len(self.numbers)) / 4
        dense = np.linspace(max(0.0, low - reach), min(1.0, high + reach), DENSE)
        ranks = np.concatenate([dense, np.linspace(0, 1, COARSE)]) * (len(pool) - 1)
        return np.unique(pool[np.round(ranks).astype(np.int64)])

    def _own(self, values: Floats) -> float:
        return float(values[min(len(values) - 1, int(self.share * len(values)))])


def pooled_quantile(pairs: Sequence[Pair], share: float) -> PooledQuantile:
    """Of the pairs' latencies; `share` is 0.95 for p95."""
    centres = [(math.log(pair.baseline.p50_us) + math.log(pair.candidate.p50_us)) / 2 for pair in pairs]
    sides = list(zip(pairs, centres, strict=True))
    return PooledQuantile(
        tuple(pair.number for pair in pairs),
        share,
        tuple(_logs(pair.baseline, centre) for pair, centre in sides),
        tuple(_logs(pair.candidate, centre) for pair, centre in sides),
    )


def _logs(block: Block, centre: float) -> Floats:
    found: Floats = np.log(block.latency_us) - centre
    return found


def _counts(blocks: tuple[Floats, ...], edges: Floats) -> Floats:
    """How many requests of each block are at or below each edge: blocks x edges; exact in 32 bits."""
    # Rounding must not put a request that is an edge on the wrong side of it.
    found = np.array([block.searchsorted(edges + _ROUNDING, side="right") for block in blocks])
    return found.astype(np.float32)


def _quantile(edges: Floats, all_: Floats, swapped: Floats, wanted: Floats) -> Floats:
    """The value with `wanted` requests at or below it, for each sign vector; linear between the edges.

    Twice the pool's requests at or below an edge are all_ + swapped, which grows along the edges: bisection.
    """
    rows = np.arange(len(swapped))
    low, high = np.zeros(len(rows), np.int64), np.full(len(rows), len(edges) - 1)
    for _ in range(len(edges).bit_length()):
        middle = (low + high) >> 1
        enough = all_[middle] + swapped[rows, middle] >= 2 * wanted
        high, low = np.where(enough, middle, high), np.where(enough, low, np.minimum(middle + 1, high))
    place = np.maximum(high, 1)
    under, over = ((all_[at] + swapped[rows, at]) / 2 for at in (place - 1, place))
    part = np.clip((wanted - under) / np.maximum(over - under, 1e-9), 0.0, 1.0)
    found: Floats = edges[place - 1] + part * (edges[place] - edges[place - 1])
    return found
