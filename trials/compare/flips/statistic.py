"""The statistic of pairs, its test by sign flips, and the interval that this test gives; pure.

p50, throughput and CPU time: the 25 % trimmed mean of the pairs' log ratios (Tukey and McLaughlin, Sankhya A
25, 1963; Huber, Robust Statistics, 1981, section 3.3): a quarter of the values is left out at each end, so
that a fifth of disturbed blocks moves it little, and where nothing is disturbed it is nearly as sharp as the
mean. The mean is not used: one pair beside a foreign process outweighs a hundred others.

The interval is the inversion of the test: the differences that it would not reject. For a statistic T of the
pairs less a difference m, T_s(m) under the sign vector s, T_s(m) - T(m) grows with m for each s: T(m) falls
by one for each unit of m, T_s(m) by no more. So the p-value is monotone in m, the interval has no gaps, and
it holds 0 exactly where the test does not reject 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from modeldyno.trials.compare.latencies import Floats

TRIMMED = 0.25
_TIE = 1e-9
"""Two values of a statistic nearer than this, as a share of their spread, are one: sums are rounded."""
_STEPS = 60
_NEAR = 0.15
_CLOSE = 1e-3
"""The ends of an interval are found to this share of the standard error."""


class Statistic(Protocol):
    """One number out of pairs, in logarithms; above 0 the candidate has more."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the pairs."""

    @property
    def estimate(self) -> float:
        """The log ratio, candidate over baseline."""

    def flipped(self, signs: Floats, less: float) -> Floats:
        """Its value for each sign vector (vectors x pairs), the candidate's logarithms less `less`."""


@dataclass(frozen=True, eq=False)
class TrimmedMean:
    """The 25 % trimmed mean of one value a pair."""

    numbers: tuple[int, ...]
    values: Floats
    """Log ratio of each pair, candidate over baseline."""

    @cached_property
    def estimate(self) -> float:
        """The log ratio, candidate over baseline."""
        return float(trimmed_mean(self.values))

    @property
    def median(self) -> float:
        """Median of the pairs' log ratios, to stand beside the estimate."""
        return float(np.median(self.values))

    def flipped(self, signs: Floats, less: float) -> Floats:
        """As `Statistic`."""
        return trimmed_mean(signs * (self.values - less))


def trimmed_mean(values: Floats) -> Floats:
    """Along the last axis, without the floor(n / 4) lowest and as many of the highest.

    >>> float(trimmed_mean(np.array([1.0, 2.0, 4.0, 100.0])))
    3.0
    """
    count = values.shape[-1]
    cut = int(TRIMMED * count)
    kept = np.sort(values, axis=-1)[..., cut : count - cut]
    found: Floats = kept.mean(axis=-1)
    return found


@dataclass(frozen=True, eq=False)
class FlipTest:
    """A statistic against one hypothetical log ratio."""

    seen: float
    flips: Floats
    """Half of the flips, that of no change first; the other half are their negatives."""

    @cached_property
    def scale(self) -> float:
        """Standard deviation of the statistic over all flips; not 0."""
        return float(np.sqrt(np.mean(self.flips**2))) or 1.0

    @property
    def p_more(self) -> float:
        """One-sided p-value of the ratio being above the hypothetical one."""
        return float(np.mean([self.flips >= self._bar, -self.flips >= self._bar]))

    @property
    def p_less(self) -> float:
        """One-sided p-value of the ratio being below it."""
        return float(np.mean([self.flips <= -self._bar_less, -self.flips <= -self._bar_less]))

    @property
    def _bar(self) -> float:
        return self.seen - _TIE * self.scale

    @property
    def _bar_less(self) -> float:
        return -self.seen - _TIE * self.scale


def flip_test(statistic: Statistic, signs: Floats, log_ratio: float = 0.0) -> FlipTest:
    """Test whether the ratio is `log_ratio`."""
    flips = statistic.flipped(signs, log_ratio)
    return FlipTest(float(flips[0]), flips)


def standard_error(statistic: Statistic, signs: Floats) -> float:
    """Spread of the estimate, by flips of what is left when the estimate is taken out."""
    return flip_test(statistic, signs, statistic.estimate).scale


def interval(
    statistic: Statistic, signs: Floats, level: float, asked: Iterable[float] = (0.0,)
) -> tuple[float, float]:
    """Log ratios that are not rejected at the one-sided `level` (under 0.5) at either side.

    For the log ratios in `asked` the interval says to the last bit what the test says. An end is infinite
    where no vector is rare enough: with n pairs nothing is below 2^-n.
    """
    search = _Search(statistic, signs, level, tuple(asked))
    return search.end(upper=False), search.end(upper=True)


class _Search:
    """Bisection for an end; sign vectors that are decided within the bracket are not computed again."""

    def __init__(self, statistic: Statistic, signs: Floats, level: float, asked: tuple[float, ...]) -> None:
        self.statistic, self.signs, self.asked = statistic, signs, asked
        self.allowed = int(level * 2 * len(signs) + 1e-9)
        self._flips: dict[float, Floats] = {}
        centred = FlipTest(0.0, self._all(statistic.estimate))
        self.scale = centred.scale
        both = np.sort(np.concatenate([centred.flips, -centred.flips]))
        self.guess = float(both[-1 - min(self.allowed, len(both) - 1)])
        """How far from the estimate an end should be."""

    def end(self, *, upper: bool) -> float:
        """The rejected log ratio nearest to the estimate."""
        away = 1.0 if upper else -1.0
        if self.allowed < 1:
            return away * float("inf")
        rejected, kept = self._bracket(away)
        for point in self.asked:
            if min(rejected, kept) < point < max(rejected, kept):
                rejected, kept = (point, kept) if self._rejects(point, away) else (rejected, point)
        return self._bisected(rejected, kept, away)

    def _bracket(self, away: float) -> tuple[float, float]:
        """A rejected and a kept log ratio, near each other: few vectors are undecided between them."""
        estimate = self.statistic.estimate
        step = max(0.0, self.guess - _NEAR * self.scale)
        while self._rejects(point := estimate + away * step, away) and step > 0:
            step = max(0.0, step - 2 * _NEAR * self.scale)
        kept, near = point, 2 * _NEAR * self.scale
        while not self._rejects(point := kept + away * near, away):
            kept, near = point, 2 * near
            if near > 1e6 * self.scale:
                return away * float("inf"), kept
        return point, kept

    def _bisected(self, rejected: float, kept: float, away: float) -> float:
        if np.isinf(rejected):
            return rejected
        beyond, within = self._beyond(self._all(rejected), away), self._beyond(self._all(kept), away)
        for _ in range(_STEPS):
            if abs(kept - rejected) <= _CLOSE * self.scale:
                break
            # A vector that counts at both ends of the bracket, or at none, does so between them.
            undecided = np.flatnonzero((beyond != within).any(axis=0))
            middle, found = (kept + rejected) / 2, within.copy()
            rows = self.signs[np.concatenate(([0], undecided))]
            found[:, undecided] = self._beyond(self.statistic.flipped(rows, middle), away)[:, 1:]
            if int(found.sum()) <= self.allowed:
                rejected, beyond = middle, found
            else:
                kept, within = middle, found
        return rejected

    def _rejects(self, log_ratio: float, away: float) -> bool:
        return int(self._beyond(self._all(log_ratio), away).sum()) <= self.allowed

    def _all(self, log_ratio: float) -> Floats:
        if log_ratio not in self._flips:
            self._flips[log_ratio] = self.statistic.flipped(self.signs, log_ratio)
        return self._flips[log_ratio]

    def _beyond(self, flips: Floats, away: float) -> npt.NDArray[np.bool_]:
        """Which vectors and which opposites (2 x vectors) give as much as the first, which was seen."""
        bar = -away * flips[0] - _TIE * self.scale
        return np.stack([flips >= bar, -flips >= bar])
