"""Which candidates can be the best, after rounds of one block each; pure.

Multiple comparisons with the best (Hsu, Annals of Statistics 9, 1981; Multiple Comparisons, 1996, chapter
4) with each candidate in turn as the control (Edwards and Hsu, JASA 78, 1983), by resampling whole rounds:

1. The difference of two candidates is the 25 % trimmed mean, over the rounds that both are in, of the
   difference of their logarithms; its standard error is that of winsorised squares, widened for few rounds
   as Student's t is (degrees of freedom: the rounds that are kept, less one; Yuen, Biometrika 61, 1974).
2. How the differences move together is resampled: rounds are drawn with replacement, whole, so that
   whatever the candidates of a round share stays shared (Efron and Tibshirani, An Introduction to the
   Bootstrap, 1993). What is resampled is each round's influence on the trimmed means, its winsorised
   difference: the bootstrap of a trimmed mean itself breaks down where draws hold more disturbed rounds
   than are trimmed (Singh, Annals of Statistics 26, 1998); beside a fifth of disturbed blocks its standard
   error is up to 1.5 times too large. For each control the critical value is the 95 % point of the largest
   of its differences' deviations, each over its standard deviation.
3. A candidate can be the best where no other is below it by more than the control's interval.
4. A candidate's interval is of the true difference to the best of the others: whichever of those that can
   be the best is the best, the interval holds it. All intervals hold at once in 95 % of runs. With two
   candidates it is the plain interval of their difference.

Starts differ too (`starts`): their spread enters every standard error. "Winner" and "not told apart" are
read off these intervals, so that no two statements about the same two candidates can differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from modeldyno.trials.compare.flips.statistic import TRIMMED, trimmed_mean
from modeldyno.trials.compare.latencies import Floats, Ints
from modeldyno.trials.compare.starts import ASSUMED, Spread, trimmed_error

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_ROUNDS = 2
_NONE = 1e-12
NORMAL = NormalDist()


@dataclass(frozen=True)
class Against:
    """A candidate against the best of the others, in logarithms: below 0 it is the better."""

    candidate: str
    estimate: float
    low: float
    high: float
    can_be_best: bool


@dataclass(frozen=True)
class Ranking:
    """The candidates, best estimate first."""

    rows: tuple[Against, ...]

    @property
    def winner(self) -> str | None:
        """The one that alone can be the best; None: a tie."""
        able = self.not_told_apart
        return able[0] if len(able) == 1 else None

    @property
    def not_told_apart(self) -> tuple[str, ...]:
        """Those that can be the best."""
        return tuple(row.candidate for row in self.rows if row.can_be_best)


@dataclass(frozen=True)
class Settling:
    """What would tell the two best apart that are not told apart."""

    first: str
    second: str
    within: float
    """They differ by no more than this, as a log ratio; infinite where they never met in a round."""
    factor: float
    """As many times the rounds and starts of this run; very large where they are alike."""
    seconds: float
    """More that this takes."""


def rank_rounds(
    logs: Mapping[str, Floats],
    starts: Mapping[str, int],
    spread: Spread = ASSUMED,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Ranking:
    """Compare each candidate with the best of the others.

    Args:
        logs: of each candidate, the logarithm of what is to be small (latency, cost per request) in each
            round, NaN where it has no block in it; arrays of equal length. Two that share fewer than two
            rounds can't be compared, and neither is excluded by the other.
        starts: how often each was started.
        spread: between starts.
        seed: of the resampling.
        confidence: of all intervals together.
    """
    names = list(logs)
    if len(names) == 1:
        return Ranking((Against(names[0], 0.0, -math.inf, math.inf, can_be_best=True),))
    resampled = _resampled(np.array([logs[name] for name in names]), seed)
    own = _start_variances([starts[name] for name in names], spread)
    differences = _differences(np.array([logs[name] for name in names]), resampled, own)
    half = _half_widths(differences, confidence)
    return _ranking(names, differences.estimate, half)


def settling(ranking: Ranking, seconds: float) -> Settling | None:
    """What would tell the first two apart, from a run that took so long; None: they are."""
    if ranking.winner is not None or len(ranking.rows) < 2:
        return None
    first, second = [row for row in ranking.rows if row.can_be_best][:2]
    within = max(abs(first.low), abs(first.high))
    if math.isinf(within):
        return Settling(first.candidate, second.candidate, within, math.inf, math.inf)
    factor = ((first.high - first.estimate) / (abs(first.estimate) or _NONE)) ** 2
    return Settling(first.candidate, second.candidate, within, factor, seconds * max(0.0, factor - 1))


@dataclass(frozen=True, eq=False)
class _Differences:
    """Of each two candidates; NaN where they share no rounds."""

    estimate: Floats
    error: Floats
    freedoms: Ints
    starts: Floats
    """Standard errors that the spread between starts adds."""
    deviation: Floats
    """Of the resamples, candidates x candidates x resamples, over their standard deviation."""


def _resampled(values: Floats, seed: int) -> Ints:
    """Rounds drawn with replacement, resamples x rounds; each by one with the same candidates in it."""
    rng = np.random.default_rng(seed)
    there = np.isfinite(values).T
    drawn = np.empty((RESAMPLES, len(there)), np.int64)
    _, kinds = np.unique(there, axis=0, return_inverse=True)
    for kind in range(int(kinds.max()) + 1):
        rounds = np.flatnonzero(kinds == kind)
        drawn[:, rounds] = rounds[rng.integers(0, len(rounds), (RESAMPLES, len(rounds)))]
    return drawn


def _differences(values: Floats, drawn: Ints, own: Floats) -> _Differences:
    count = len(values)
    estimate, error = (np.full((count, count), np.nan) for _ in range(2))
    freedoms = np.ones((count, count), np.int64)
    deviation = np.zeros((count, count, len(drawn)))
    for one, other in combinations(range(count), 2):
        gaps = values[one] - values[other]
        both = np.flatnonzero(np.isfinite(gaps))
        if len(both) < FEWEST_ROUNDS:
            continue
        seen, by_rounds = trimmed_mean(gaps[both]), trimmed_error(gaps[both]) or _NONE
        estimate[one, other], estimate[other, one] = seen, -seen
        error[one, other] = error[other, one] = by_rounds
        freedoms[one, other] = freedoms[other, one] = len(both) - 2 * int(TRIMMED * len(both)) - 1
        moved = influence(gaps)[drawn[:, both]].mean(axis=1)
        moved /= float(moved.std()) or _NONE
        deviation[one, other], deviation[other, one] = moved, -moved
    return _Differences(estimate, error, freedoms, np.sqrt(own[:, None] + own), deviation)


def influence(gaps: Floats) -> Floats:
    """What each round adds to the trimmed mean, around 0: the gaps, winsorised; 0 where there is none."""
    found, there = np.zeros_like(gaps), np.isfinite(gaps)
    ordered, cut = np.sort(gaps[there]), int(TRIMMED * there.sum())
    kept = np.clip(gaps[there], ordered[cut], ordered[len(ordered) - cut - 1])
    found[there] = kept - kept.mean()
    return found


def student(normal: float, freedoms: int) -> float:
    """Student's quantile at the level of a normal one; exact for 1 and 2 degrees of freedom, then expanded.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5; within 1 % of it for 1.96, 8 % for 3.
    """
    level = NORMAL.cdf(normal)
    if freedoms == 1:
        return math.tan(math.pi * (level - 0.5))
    if freedoms == 2:
        return (2 * level - 1) / math.sqrt(2 * level * (1 - level))
    odd = [normal**power for power in (1, 3, 5, 7)]
    terms = [
        odd[0],
        (odd[1] + odd[0]) / 4,
        (5 * odd[2] + 16 * odd[1] + 3 * odd[0]) / 96,
        (3 * odd[3] + 19 * odd[2] + 17 * odd[1] - 15 * odd[0]) / 384,
    ]
    return math.fsum(term / freedoms**power for power, term in enumerate(terms))


def few_rounds(freedoms: int) -> float:
    """By how much Student's quantile is too small for a trimmed mean: simulated, of 4 to 60 normal values."""
    return 1 + 0.7 / (freedoms + 1)


def _start_variances(starts: Sequence[int], spread: Spread) -> Floats:
    # That of a ratio is of two starts.
    return spread.widening() ** 2 / 2 / np.maximum(1, np.array(starts, np.float64))


def _half_widths(differences: _Differences, confidence: float) -> Floats:
    """Of the interval of each difference with the row's candidate as the control."""
    largest = np.abs(differences.deviation).max(axis=1)
    least = NORMAL.inv_cdf((1 + confidence) / 2)
    critical = np.maximum(np.quantile(largest, confidence, axis=1), least)
    half: Floats = critical[:, None] * differences.starts
    for place, normal in enumerate(critical):
        wide = [
            student(float(normal), int(freedoms)) * few_rounds(int(freedoms))
            for freedoms in differences.freedoms[place]
        ]
        half[place] = np.hypot(np.array(wide) * differences.error[place], half[place])
    return half


def _ranking(names: list[str], estimate: Floats, half: Floats) -> Ranking:
    """Steps 3 and 4; a difference that was not measured may be anything."""
    unknown = np.isnan(estimate)
    low = np.where(unknown, -np.inf, estimate - half)
    high = np.where(unknown, np.inf, estimate + half)
    np.fill_diagonal(high, -np.inf)
    able: npt.NDArray[np.bool_] = low.max(axis=1) <= 0
    if not able.any():
        # Trimmed means need not be transitive.
        able[:] = True
    rows = []
    for place, name in enumerate(names):
        # Where another is the best, the difference is to that one, with that one as the control.
        best = [other for other in np.flatnonzero(able) if other != place]
        lows, highs = [-high[other, place] for other in best], [-low[other, place] for other in best]
        seen = [-estimate[other, place] for other in best]
        if able[place]:
            lows, highs = [*lows, low[place].max()], [*highs, high[place].max()]
            seen = list(estimate[place])
        value = float(np.nanmax(seen)) if np.isfinite(seen).any() else math.nan
        rows.append(Against(name, value, float(min(lows)), float(max(highs)), bool(able[place])))
    return Ranking(tuple(sorted(rows, key=lambda row: (not row.can_be_best, row.estimate, row.candidate))))
