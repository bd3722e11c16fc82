"""What the field does, on the same tape: a saved run of the baseline against a fresh one of the candidate.

Baseline and candidate are of two epochs, as in two runs of CI; "same minute" takes both of one epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.compare.simulate import counted
from benchmarks.gate.replay import scaled
from benchmarks.gate.tape import TapeEpoch
from modeldyno.trials.compare.latencies import Floats

Row = dict[str, Any]
Rule = Callable[[Floats, Floats], bool]
MOST_REQUESTS = 5000
"""Of a side: ranks of more take long, and decide nothing else."""


def _medians(limit: float) -> Rule:
    return lambda ours, theirs: float(np.median(theirs) / np.median(ours)) > limit


def _means(limit: float) -> Rule:
    return lambda ours, theirs: float(np.mean(theirs) / np.mean(ours)) > limit


def _ranks(ours: Floats, theirs: Floats) -> bool:
    """Mann and Whitney's test at 1 %, one-sided, and Cliff's delta of 0.147 (small) or more.

    By the normal approximation with ties at half.
    """
    both = np.concatenate([ours, theirs])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, m = len(ours), len(theirs)
    u = float(ranks[n:].sum()) - m * (m + 1) / 2
    ties = float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1))
    spread = float(np.sqrt(n * m / 12 * ((n + m + 1) - ties))) or 1.0
    return (u - n * m / 2) / spread > 2.326 and 2 * u / (n * m) - 1 >= 0.147


RULES: dict[str, Rule] = {
    "medians, 5 %": _medians(1.05),
    "medians, 10 %": _medians(1.10),
    "github-action-benchmark's 200 %": _medians(2.0),
    "pytest-benchmark --benchmark-compare-fail=mean:5%": _means(1.05),
    "Mann-Whitney 1 % and Cliff's delta 0.147": _ranks,
}


def peers(epochs: Sequence[TapeEpoch], tries: int) -> Iterator[Row]:
    """How often each rule cries wolf, and how often it finds 5 %."""
    for name, rule in RULES.items():
        for where, apart in (("another run", True), ("same minute", False)):
            for slower in (1.0, 1.05):
                hits, number = 0, 0
                for ours, theirs in _sides(epochs, slower, apart, tries):
                    hits, number = hits + rule(ours, theirs), number + 1
                what = "no difference, alarms" if slower == 1 else "+5 %, found"
                yield {"what": f"{name}; {where}; {what}", **counted(hits, max(1, number))}


def _sides(
    epochs: Sequence[TapeEpoch], slower: float, apart: bool, tries: int
) -> Iterator[tuple[Floats, Floats]]:
    rng = np.random.default_rng(4)
    for _ in range(tries):
        one, other = rng.choice(len(epochs), size=2, replace=len(epochs) < 2)
        ours, theirs = epochs[one], epochs[other if apart else one]
        if ours.pairs and theirs.pairs:
            yield (
                _some(rng, [pair.baseline.latency_us for pair in ours.pairs]),
                _some(rng, [scaled(pair.candidate, slower).latency_us for pair in theirs.pairs]),
            )


def _some(rng: np.random.Generator, blocks: Sequence[Any]) -> Floats:
    pooled: Floats = np.concatenate(blocks).astype(np.float64)
    return pooled if len(pooled) <= MOST_REQUESTS else rng.choice(pooled, MOST_REQUESTS, replace=False)
