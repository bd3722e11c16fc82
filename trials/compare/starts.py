"""What starts of one server differ by, and how that widens what holds between runs; pure.

Memory layout and the luck of a start are constant within a process: more blocks do not average them out, and
a test within a run does not see them. Each candidate is started at least twice; the variance of the estimates
per start, less what their blocks explain, is pooled over candidates (one-way analysis of variance: Searle,
Casella and McCulloch, Variance Components, 1992, section 3.6). Five starts can't be significant (2^-5 is 3
%), so the spread never stands in for the test: it widens intervals, and is the gate's floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from modeldyno.loadgen.stats.intervals import NORMAL_975, student_975
from modeldyno.trials.compare.flips.statistic import TRIMMED, trimmed_mean
from modeldyno.trials.compare.latencies import Floats, Ints

FEWEST_FREEDOMS = 4


@dataclass(frozen=True)
class Start:
    """What the blocks of one start say, in logarithms."""

    estimate: float
    standard_error: float


@dataclass(frozen=True)
class Spread:
    """Of the log ratio of two candidates between starts of both, and how many differences tell it."""

    sd: float
    freedoms: int

    def widening(self) -> float:
        """The standard error that one start of both adds, made up for the spread being estimated itself."""
        return self.sd * student_975(max(self.freedoms, FEWEST_FREEDOMS)) / NORMAL_975


ASSUMED = Spread(0.005, FEWEST_FREEDOMS)
"""Before a machine has been tested: half of the gate's floor of 1 %, worth five starts."""


def starts_of(values: Floats, epochs: npt.ArrayLike) -> tuple[Start, ...]:
    """The trimmed mean of each epoch's values, with its error; epochs of fewer than 4 are left out."""
    which = np.asarray(epochs)
    parts = [values[which == epoch] for epoch in np.unique(which)]
    return tuple(Start(float(trimmed_mean(part)), trimmed_error(part)) for part in parts if len(part) >= 4)


def trimmed_error(values: Floats) -> float:
    """Standard error of a trimmed mean, by winsorised squares (Yuen, Biometrika 61, 1974)."""
    count, cut = len(values), int(TRIMMED * len(values))
    ordered, kept = np.sort(values), count - 2 * cut
    winsorised = np.clip(ordered, ordered[cut], ordered[count - cut - 1])
    squares = float(((winsorised - winsorised.mean()) ** 2).sum())
    return math.sqrt(squares / (kept * (kept - 1)))


def between_starts(groups: Iterable[Sequence[Start]], known: Spread = ASSUMED) -> Spread:
    """Pool the spread between starts over groups of starts of one thing each.

    Args:
        groups: the starts of each ratio of two candidates.
        known: what was known before, from a self-test of this machine; it counts by its freedoms.
    """
    several = [group for group in groups if len(group) > 1]
    freedoms = sum(len(group) - 1 for group in several)
    if not freedoms:
        return known
    squares = sum(float(np.var([start.estimate for start in group])) * len(group) for group in several)
    explained = sum(
        float(np.mean([start.standard_error**2 for start in group])) * (len(group) - 1) for group in several
    )
    return _pooled(squares - explained, freedoms, known)


def _pooled(squares: float, freedoms: int, known: Spread) -> Spread:
    variance = (known.freedoms * known.sd**2 + max(0.0, squares)) / (known.freedoms + freedoms)
    return Spread(math.sqrt(variance), known.freedoms + freedoms)


def between_starts_of_rounds(
    logs: Mapping[str, Floats], epochs: Sequence[int], known: Spread = ASSUMED
) -> Spread:
    """The spread between starts, from rounds of several candidates that were started together.

    Each two candidates tell it by their ratio; all of these are averaged, and count as what is independent
    among them: (candidates - 1) (epochs - 1). Candidates with fewer than 4 rounds in an epoch are left out.

    Args:
        logs: of each candidate, a logarithm in each round, NaN where it has no block in it.
        epochs: which start each round belongs to.
        known: as `between_starts`.
    """
    which, kinds = np.asarray(epochs), sorted(set(epochs))
    whole = [row for row in logs.values() if _in_every_epoch(row, which)]
    freedoms = (len(whole) - 1) * (len(kinds) - 1)
    if freedoms < 1:
        return known
    variances = []
    for one, other in combinations(whole, 2):
        shared = np.isfinite(one) & np.isfinite(other)
        starts = starts_of((one - other)[shared], which[shared])
        if len(starts) == len(kinds):
            seen = float(np.var([start.estimate for start in starts], ddof=1))
            variances.append(seen - float(np.mean([start.standard_error**2 for start in starts])))
    return _pooled(float(np.mean(variances)) * freedoms, freedoms, known) if variances else known


def _in_every_epoch(row: Floats, epochs: Ints) -> bool:
    return all(np.isfinite(row[epochs == each]).sum() >= 4 for each in np.unique(epochs))


def widened(
    estimate: float, ends: tuple[float, float], spread: Spread, starts: int, quantile: float = NORMAL_975
) -> tuple[float, float]:
    """An interval of one run as one that holds between runs: the estimate is of `starts` starts only.

    Args:
        estimate: log ratio.
        ends: of the run's own interval.
        spread: of the log ratio between starts of both sides.
        starts: how many the run had.
        quantile: normal quantile of the interval's one-sided level.
    """
    added = quantile * spread.widening() / math.sqrt(starts)
    low, high = (math.hypot(end - estimate, added) for end in ends)
    return estimate - low, estimate + high
