"""How many independent requests the requests of a load test are worth, for each percentile; pure.

Requests near each other in time share a queue: a slow one follows a slow one, and a thousand of them say less
of a percentile than a thousand independent ones. For the share of requests slower than a value, taken in the
order of their start, the *design effect* is the variance of that share over the variance of independent
requests: gamma_0 + 2 (gamma_1 + gamma_2 + ...) over p (1 - p), gamma_k the autocovariance of the 0 and 1 of
"is slower". It is estimated and made safe in four steps:

1. The sum ends where a pair gamma_2j + gamma_2j+1 is no longer above 0, and no pair counts more than the one
   before it (Geyer, Practical Markov Chain Monte Carlo, Statistical Science 7, 1992, section 3.3: the initial
   monotone sequence). A fixed number of slices would be too coarse for short memories and too short for long
   ones; this finds the memory's length.
2. Autocovariances around the sample's own mean are too small by about (variance of the mean): the effect is
   divided by 1 - 2 m / n, where the sum has m terms (Law and Kelton, Simulation Modeling and Analysis, 4.4).
3. The effect is an estimate: with memory m it has about n / m degrees of freedom (as any spectral estimate:
   Priestley, Spectral Analysis and Time Series, 6.2.4), so it is multiplied by (t / 1.96)^2, t Student's
   quantile. Heidelberger and Lewis (Quantile Estimation in Dependent Sequences, Operations Research 32, 1984)
   do the same with the spectrum at frequency 0.
4. A percentile with fewer than FEWEST_CLUSTERS independent requests beyond it shows too little of its own
   dependence: the larger effect of it and of the levels below counts, down to one that shows enough.

The number of samples divided by the effect is then what the order statistics of `loadgen.stats.intervals` are
made for. Long recordings are counted in blocks first, at most MOST_BLOCKS, so that a sum takes milliseconds.
`python -m benchmarks.loadgen --sections intervals` has the coverage on queues.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modeldyno.loadgen.stats.intervals import NORMAL_975, Floats, Ints, quantile_rank, student_975

LEVELS = (0.999, 0.99, 0.95, 0.9, 0.75, 0.5)
FEWEST_SAMPLES = 100
"""With fewer there is nothing to see."""
FEWEST_CLUSTERS = 10
MOST_BLOCKS = 16_384
LEAST_LEFT = 0.3
FEWEST_FREEDOMS = 3.0


class Dependence:
    """Of latencies in the order of their start."""

    def __init__(self, in_order: Ints | Floats, ordered: Ints | Floats) -> None:
        self._in_order, self._ordered = in_order, ordered
        self._effects: dict[float, float] = {}

    def effective_samples(self, share: float) -> int:
        """How many independent samples these are worth for the quantile of `share`; at least 1."""
        samples = len(self._in_order)
        if samples < FEWEST_SAMPLES:
            return samples
        largest = self._effect(share)
        level = share
        for lower in (level for level in LEVELS if level < share):
            if samples * (1 - level) >= FEWEST_CLUSTERS * largest:
                break
            level, largest = lower, max(largest, self._effect(lower))
        return max(1, int(samples / largest))

    def _effect(self, share: float) -> float:
        if share not in self._effects:
            value = self._ordered[quantile_rank(len(self._ordered), share) - 1]
            self._effects[share] = design_effect(self._in_order > value)
        return self._effects[share]


def design_effect(beyond: npt.NDArray[np.bool_]) -> float:
    """Steps 1 to 3 for a series of 0 and 1; at least 1."""
    samples, share = len(beyond), float(beyond.mean())
    if not 0 < share < 1:
        return 1.0
    block = -(-samples // MOST_BLOCKS)
    whole = beyond[: samples // block * block]
    covariance = autocovariance(whole.reshape(-1, block).sum(axis=1).astype(np.float64))
    total, memory = _initial_monotone_sum(covariance)
    blocks = len(covariance)
    memory = min(memory, blocks // 4)
    effect = total / (block * share * (1 - share)) / max(1 - 2 * memory / blocks, LEAST_LEFT)
    freedoms = max(blocks / max(memory, 1), FEWEST_FREEDOMS)
    return max(1.0, effect * (student_975(freedoms) / NORMAL_975) ** 2)


def autocovariance(values: Floats) -> Floats:
    """Of all lags, with the number of values as divisor."""
    centred = values - values.mean()
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    found: Floats = np.fft.irfft(np.abs(spectrum) ** 2, size)[: len(values)] / len(values)
    return found


def _initial_monotone_sum(covariance: Floats) -> tuple[float, int]:
    """gamma_0 + 2 (gamma_1 + ...) by Geyer's rule, and how many terms it has."""
    pairs = covariance[: len(covariance) // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = np.minimum.accumulate(pairs[: ends[0] if len(ends) else None])
    return float(2 * kept.sum() - covariance[0]), 2 * len(kept)
