"""Standard errors of a trimmed mean, and how far out its Student quantiles hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.compare.simulate import MACHINES, counted, pair_ratios
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TRIMMED, TrimmedMean, standard_error, trimmed_mean
from modeldyno.trials.compare.ranking import NORMAL, few_rounds, student
from modeldyno.trials.compare.starts import trimmed_error

RESAMPLES = 400
LEVEL = 2.5
Row = dict[str, Any]


def errors(tries: int) -> Iterator[Row]:
    """What the estimate really scatters by, and what three ways say of it (means of the runs)."""
    for pairs in (24, 60, 100):
        for name, machine in MACHINES.items():
            rng, signs = np.random.default_rng(8), Signs(0, 1000).of(range(pairs))
            runs = [pair_ratios(rng, machine, pairs) for _ in range(tries)]
            true = float(np.std([trimmed_mean(run) for run in runs]))
            flips = [standard_error(TrimmedMean(tuple(range(pairs)), run), signs) for run in runs]
            drawn = [trimmed_mean(run[rng.integers(0, pairs, (RESAMPLES, pairs))]).std() for run in runs]
            said = {"flips": flips, "winsorised": [trimmed_error(run) for run in runs], "bootstrap": drawn}
            ratios = {way: round(float(np.mean(found)) / true, 3) for way, found in said.items()}
            yield {"what": f"{pairs} pairs, {name}", "true": round(true, 5), **ratios}


def quantiles(tries: int) -> Iterator[Row]:
    """How often Student's interval at the normal quantile 2.5 misses, of a trimmed mean of normal values."""
    rng, many = np.random.default_rng(9), 20 * tries
    for count in (5, 8, 12, 24, 60):
        freedoms = count - 2 * int(TRIMMED * count) - 1
        values = rng.standard_normal((many, count))
        scaled = np.abs(trimmed_mean(values) / np.array([trimmed_error(each) for each in values]))
        plain = student(LEVEL, freedoms)
        wide = plain * few_rounds(freedoms)
        yield {
            "what": f"{count} rounds",
            **counted(int((scaled > wide).sum()), many),
            "without_widening": float((scaled > plain).mean()),
            "wanted": round(2 * (1 - NORMAL.cdf(LEVEL)), 4),
        }
