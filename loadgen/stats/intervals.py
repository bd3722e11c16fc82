"""95 % confidence intervals of percentiles and of throughput; pure.

Percentiles: order statistics. Of n independent samples, the number at or below the true p-quantile is
binomial (n, p), so two ranks bound the quantile with known confidence (Hahn and Meeker, Statistical
Intervals, 1991, section 5.2; also David and Nagaraja, Order Statistics, section 7.1). The ranks here leave
at most 2.5 % on each side, exactly computed.

Requests near each other in time are not independent: they share a queue. `loadgen.stats.dependence` says how
many independent requests they are worth; the ranks are those of so many, at the same distance from the
quantile as a share of all (Woodruff, JASA 47, 1952: an interval for the share, turned into one for the
quantile).

Throughput: batch means. The window is cut into SLICES equal slices; the mean of their rates has a Student
interval (Law and Kelton, Simulation Modeling and Analysis, section 9.5; 10 to 30 batches: Schmeiser,
Operations Research 30, 1982). A whole number of requests fits into a window, so the interval is never
narrower than one request on each side. Slices of a closed loop are correlated when the server's speed
drifts over seconds; then the interval is too narrow, and `slice_correlation` tells.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from modeldyno.base.records.record import Estimate

SLICES = 20
# Quantile for SLICES - 1 = 19 degrees of freedom.
STUDENT_T_975 = 2.093024
# One-sided 1 % point of the first autocorrelation of 20 independent values: (-1 + 2.326 sqrt(18)) / 19, after
# Anderson (Annals of Mathematical Statistics 13, 1942).
CORRELATION_99 = 0.467
TAIL = 0.025
NORMAL_975 = 1.959964

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def order_ranks(samples: int, share: float) -> tuple[int | None, int | None]:
    """Ranks (from 1) of the order statistics that bound the `share`-quantile with 95 % confidence or more.

    None where no sample is low (or high) enough.
    """
    first, cumulated = _binomial_cdf(samples, share)
    low = first + int(np.searchsorted(cumulated, TAIL, side="right"))
    high = first + int(np.searchsorted(cumulated, 1 - TAIL, side="left")) + 1
    return (low if low >= 1 else None), (high if high <= samples else None)


def fewest_samples(share: float) -> int:
    """How many samples a quantile needs before one bounds it from above: the least n with share^n <= 2.5 %.

    >>> [fewest_samples(share) for share in (0.5, 0.95, 0.99, 0.999)]
    [6, 72, 368, 3688]
    """
    return math.ceil(math.log(TAIL) / math.log(share))


def quantile_rank(samples: int, share: float) -> int:
    """Rank (from 1) of the sample that states the quantile: the first with `share` of them at or below."""
    return min(samples, max(1, math.ceil(samples * share - 1e-9)))


def share_interval(count: int, total: int) -> tuple[float, float]:
    """95 % interval of a share of which `count` of `total` are a sample: Clopper and Pearson's, exact.

    Biometrika 26, 1934: outside it, so many or more (so few or fewer) have a chance of at most 2.5 %.

    >>> [round(end, 4) for end in share_interval(0, 368)]
    [0.0, 0.01]
    """
    return 1 - _share_high(total - count, total), _share_high(count, total)


def effective_ranks(samples: int, effective: int, share: float) -> tuple[int | None, int | None]:
    """As `order_ranks`, of samples that are worth `effective` independent ones.

    The rank that states the quantile is always between them: a rank of few is a coarse thing.
    """
    stretch, centre, stated = samples / effective, effective * share, quantile_rank(samples, share)
    low, high = order_ranks(effective, share)
    if low is not None:
        low = max(1, math.floor(samples * share - (centre - low) * stretch + 1e-9))
        low = min(low, stated)
    if high is not None:
        high = min(samples, math.ceil(samples * share + (high - centre) * stretch - 1e-9))
        high = max(high, stated)
    return low, high


def student_975(freedoms: float) -> float:
    """Student's quantile by Cornish and Fisher's expansion; within 0.8 % from 3 degrees of freedom on.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = NORMAL_975
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedoms**power for power, term in enumerate(terms))


def throughput_estimate(counts: Ints, window_s: float) -> Estimate:
    """Requests a second with their interval, from the completions in each of the SLICES equal slices."""
    rate = float(counts.sum()) / window_s
    rates = counts * (SLICES / window_s)
    half = max(STUDENT_T_975 * float(rates.std(ddof=1)) / math.sqrt(SLICES), 1 / window_s)
    return Estimate(
        value=rate,
        low=max(0.0, rate - half),
        high=rate + half,
        method=f"95 %, Student t over the means of {SLICES} equal slices, at least one request wide",
    )


def slice_correlation(counts: Ints) -> float:
    """First autocorrelation of the slice counts; above CORRELATION_99 it is hardly chance."""
    deviations = counts - counts.mean()
    variance = float((deviations**2).sum())
    return float((deviations[1:] * deviations[:-1]).sum()) / variance if variance else 0.0


def _share_high(count: int, total: int) -> float:
    if count >= total:
        return 1.0
    low, high = count / total, 1.0
    while high - low > 1e-12 + 1e-9 * low:
        middle = (low + high) / 2
        first, cumulated = _binomial_cdf(total, middle)
        fewer = count - first
        chance = 0.0 if fewer < 0 else float(cumulated[fewer]) if fewer < len(cumulated) else 1.0
        low, high = (middle, high) if chance > TAIL else (low, middle)
    return high


def _binomial_cdf(samples: int, share: float) -> tuple[int, Floats]:
    """First count, and P(count or fewer) from there on, over the counts that carry all but 1e-12 of the mass.

    The terms follow from each other by their ratio, in logarithms from the mode, so nothing overflows.
    """
    mode = int((samples + 1) * share)
    reach = int(12 * math.sqrt(samples * share * (1 - share))) + 60
    first, last = max(0, mode - reach), min(samples, mode + reach)
    counts = np.arange(first, last, dtype=np.float64)
    steps = np.log((samples - counts) / (counts + 1)) + math.log(share / (1 - share))
    logs = np.concatenate(([0.0], np.cumsum(steps)))
    weights = np.exp(logs - logs.max())
    return first, np.cumsum(weights) / weights.sum()
