"""How much whole load tests of one level differ from round to round, and how wide that makes intervals; pure.

A test's own interval is of its minutes and its server alone. Each round repeats it later, in a new server, so
the differences between rounds hold whatever another minute or another start changes. Two rounds of one level
are one difference, and Student's quantile for one is 12.7. So they are pooled over all candidates and levels
of the run, as logarithms (the error variance of a one-way layout: Searle, Casella and McCulloch, Variance
Components, 1992, section 3.6):

    s^2  = sum over levels and rounds of (y - mean of the level)^2 / f
    f    = sum over levels of (rounds - 1)
    half = max(own half width, t(f) s / sqrt(rounds))

t(f) is Student's 97.5 % quantile. The own half width is that of the rounds together, had they nothing else in
which they differ. The larger of the two, since s has the tests' own noise in it: their sum would count it
twice, and the spread less the own noise, which can come out as 0, holds the truth in 87 to 94 of 100 runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from modeldyno.base.records.record import Estimate
from modeldyno.loadgen.stats.intervals import NORMAL_975
from modeldyno.trials.compare.ranking import student


@dataclass(frozen=True)
class Between:
    """Standard deviation of a logarithm from round to round."""

    sd: float
    freedoms: int
    """Differences that tell it: with two rounds of each level as many as there are levels; 0: unknown."""

    def half(self, rounds: int) -> float:
        """Half width, as a logarithm, of the 95 % interval of the mean of so many rounds; 0 if unknown."""
        if not self.freedoms:
            return 0.0
        return student(NORMAL_975, self.freedoms) * self.sd / math.sqrt(rounds)


UNKNOWN = Between(0.0, 0)


def between_rounds(levels: Iterable[Sequence[float]]) -> Between:
    """Pool the spread of the values of each level around their mean.

    Args:
        levels: of each candidate at each level, one value above 0 a round; what has one round tells nothing.
    """
    logs = [np.log(level) for level in map(np.asarray, levels) if len(level) > 1]
    freedoms = sum(len(level) - 1 for level in logs)
    if not freedoms:
        return UNKNOWN
    squares = math.fsum(float(((level - level.mean()) ** 2).sum()) for level in logs)
    return Between(math.sqrt(squares / freedoms), freedoms)


def mean_of(found: Sequence[Estimate], between: Between) -> Estimate:
    """The mean of one level's rounds; its interval is the wider of theirs and of what rounds differ by."""
    rounds = len(found)
    value = math.fsum(each.value for each in found) / rounds
    below, above = (
        math.sqrt(math.fsum(gap**2 for gap in gaps)) / rounds
        for gaps in ([each.value - each.low for each in found], [each.high - each.value for each in found])
    )
    low, high = widened(value, (value - below, value + above), between.half(rounds))
    own = found[0].method.removeprefix("95 %, ")
    return Estimate(
        value=value,
        low=max(0.0, low),
        high=high,
        method=f"95 %, mean of {rounds} rounds: the wider of {own}, and Student t over what rounds differ by "
        f"({between.freedoms} differences, {100 * between.sd:.2g} %)",
    )


def widened(value: float, ends: tuple[float, float], half: float) -> tuple[float, float]:
    """Ends that are no nearer to the value than half a width of its logarithm."""
    low, high = ends
    return min(low, value * math.exp(-half)), max(high, value * math.exp(half))
