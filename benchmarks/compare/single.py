"""One look at simulated pairs: estimators, pairs against groups of four, coverage, tails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.compare.simulate import (
    MACHINES,
    Machine,
    block_logs,
    counted,
    pair_ratios,
    served_pairs,
)
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TrimmedMean, flip_test, interval, trimmed_mean
from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.metrics import statistic_of

FIVE = math.log(1.05)
SIGNS = Signs(0)
Row = dict[str, Any]
ESTIMATORS: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda values: np.asarray(values.mean(axis=-1)),
    "25 % trimmed mean": trimmed_mean,
    "median": lambda values: np.asarray(np.median(values, axis=-1)),
}


def estimators(tries: int) -> Iterator[Row]:
    """100 pairs, sign flips at 1 %: what each estimator finds of +5 %, and of nothing."""
    for name, machine in MACHINES.items():
        for estimator, function in ESTIMATORS.items():
            for true, what in ((FIVE, "+5 %"), (0.0, "no difference")):
                rng, signs = np.random.default_rng(2), SIGNS.of(range(100))
                hits = sum(
                    _rejects(function, pair_ratios(rng, machine, 100, true=true), signs) for _ in range(tries)
                )
                yield {"what": f"{what}, {estimator}, {name}", **counted(hits, tries)}


def groups(tries: int) -> Iterator[Row]:
    """60 pairs with a standard deviation of 2 %, a fifth of blocks disturbed: pairs and ABBA, at 0.5 %."""
    machine = Machine(block_sd=0.02 / 2**0.5, disturbed=0.2)
    disturbed = 1 - (1 - machine.disturbed) ** 4
    for name, together in (("pairs", 1), ("groups of four (ABBA)", 2)):
        rng, signs = np.random.default_rng(3), SIGNS.of(range(60 // together))
        hits = 0
        for _ in range(tries):
            logs = block_logs(rng, machine, 2, 60, 1)
            units = (logs[1] - logs[0] + FIVE).reshape(-1, together).mean(axis=1)
            hits += _rejects(trimmed_mean, units, signs, 0.005)
        share = disturbed if together == 2 else 1 - (1 - machine.disturbed) ** 2
        yield {"what": f"+5 %, {name}", **counted(hits, tries), "units_disturbed": round(share, 3)}


def coverage(tries: int) -> Iterator[Row]:
    """How often the 95 % interval by inversion holds a true +5 %, and how wide it is."""
    for pairs in (12, 24, 100):
        for name, machine in MACHINES.items():
            rng, signs = np.random.default_rng(4), SIGNS.of(range(pairs))
            ends = []
            for _ in range(tries):
                statistic = TrimmedMean(tuple(range(pairs)), pair_ratios(rng, machine, pairs, true=FIVE))
                ends.append(interval(statistic, signs, 0.025))
            yield _covered(f"p50, {pairs} pairs, {name}", ends)
    for metric in ("p95_ms", "p99_ms"):
        rng, signs = np.random.default_rng(5), SIGNS.of(range(60))
        ends = [
            interval(statistic_of(metric, served_pairs(rng, 60, 100, 1.05)), signs, 0.025)
            for _ in range(max(20, tries // 10))
        ]
        yield _covered(f"{metric}, 60 pairs of 200 requests", ends)


def tails(tries: int) -> Iterator[Row]:
    """What one look at 1 % finds of p95 and p99; requests of both sides together."""
    asked = [("p95_ms", 1.05, 100), ("p95_ms", 1.0, 100), ("p99_ms", 1.1, 50), ("p99_ms", 1.05, 200)]
    asked += [("p99_ms", 1.0, 200)]
    few = max(20, tries // 10)
    for metric, ratio, requests in asked:
        rng, signs = np.random.default_rng(6), SIGNS.of(range(100))
        hits = sum(
            flip_test(statistic_of(metric, served_pairs(rng, 100, requests, ratio)), signs).p_more <= 0.01
            for _ in range(few)
        )
        yield {"what": f"{metric} {ratio - 1:+.0%}, {200 * requests:,} requests", **counted(hits, few)}


def _rejects(
    function: Callable[[Floats], Floats], values: Floats, signs: Floats, level: float = 0.01
) -> bool:
    flips = function(signs * values)
    return bool(np.mean([flips >= flips[0] - 1e-12, -flips >= flips[0] - 1e-12]) <= level)


def _covered(what: str, ends: list[tuple[float, float]]) -> Row:
    held = sum(low <= FIVE <= high for low, high in ends)
    width = float(np.median([high - low for low, high in ends]))
    return {"what": what, **counted(held, len(ends)), "median_width": round(width, 5)}
