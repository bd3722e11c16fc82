"""Looks at a comparison while it runs: regression, pass, improvement, or go on; pure.

At a look every metric's statistic is computed for every sign vector, divided by its spread over all of them,
and the largest over the metrics counts (max-T: Westfall and Young, Resampling-Based Multiple Testing, 1993).
A vector is marked once this is beyond the look's bar; the bar is the lowest at which no more than alpha t^2
of all vectors are marked so far. The run as it was measured is one of the vectors: where the candidates do
not differ it is marked in alpha of all runs, over all looks and metrics together.

The bar is then a one-sided level for each metric, and all that is said of a metric at this look is said at
that level: `regression` (p of "worse" within it, and the estimate at the floor or above), `pass` (the limit
rejected from below: the upper bound is under it), `improvement` (the mirror of regression). Both errors are
spent alike. Pass is asked before regression, so that between floor and limit either may come. A verdict on a
metric stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import FlipTest, Statistic, flip_test, interval, standard_error
from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.looks.spending import ALPHA, spent
from modeldyno.trials.compare.metrics import worse_log
from modeldyno.trials.compare.plan import FEWEST_PAIRS

Verdict = Literal["regression", "pass", "improvement", "inconclusive"]
UNKNOWN_SPREAD = 0.01
"""The floor at least, before the machine's spread between starts is known."""


@dataclass(frozen=True)
class Limit:
    """When a metric is a regression, as shares: 0.05 is 5 %."""

    regression: float = 0.05
    """Worse by this is never passed."""
    floor: float = 0.025
    """Worse by less is no regression, better by less no improvement."""


def limit_of(
    max_regression: float, between_starts: float | None = None, ignore_below: float | None = None
) -> Limit:
    """The limit with its floor: half of it, and twice the spread between starts (1 % where it is not known).

    Args:
        max_regression: as a share.
        between_starts: standard deviation of the log ratio between starts of both sides on this machine.
        ignore_below: a floor of the user's own.
    """
    spread = UNKNOWN_SPREAD if between_starts is None else 2 * between_starts
    floor = max(max_regression / 2, spread) if ignore_below is None else ignore_below
    return Limit(max_regression, floor)


@dataclass(frozen=True, eq=False)
class MetricLook:
    """What one look says of one metric; log ratios above 0 are worse (`metrics.worse_share` undoes that)."""

    estimate: float
    level: float
    """One-sided level of the interval and of the verdict."""
    p_worse: float
    p_better: float
    verdict: Verdict | None
    """None: go on."""
    limit: float
    """As a log ratio."""
    statistic: Statistic = field(repr=False)
    signs: Floats = field(repr=False)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The interval: what is not rejected at the level of the verdict, so that the two can't disagree."""
        return interval(self.statistic, self.signs, self.level, (0.0, self.limit))

    @cached_property
    def standard_error(self) -> float:
        """Of the estimate."""
        return standard_error(self.statistic, self.signs)


@dataclass(frozen=True, eq=False)
class Progress:
    """What the looks so far have left."""

    share: float = 0.0
    """Of the budget, at the last look."""
    marked: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Sign vectors that were beyond a bar; the opposites behind the others."""
    decided: Mapping[str, MetricLook] = field(default_factory=dict)
    """Metrics that have their verdict, as they stood at that look."""
    latest: Mapping[str, MetricLook] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | None:
        """Of all metrics together; None: go on."""
        kinds = {each.verdict for each in self.decided.values()}
        if "regression" in kinds:
            return "regression"
        if not self.latest or set(self.decided) != set(self.latest):
            return "inconclusive" if self.share >= 1 else None
        return "improvement" if kinds == {"improvement"} else "pass"


def look(
    progress: Progress,
    statistics: Mapping[str, Statistic],
    signs: Signs,
    share: float,
    limits: Mapping[str, Limit],
    *,
    alpha: float = ALPHA,
) -> Progress:
    """Look at the pairs so far; with fewer than 24 nothing is decided and nothing spent.

    Args:
        progress: what the look before gave; `Progress()` at first.
        statistics: of each metric, above 0 where the candidate is worse.
        signs: of the whole run; metrics of different pairs take their coins from it too.
        share: of the budget that is gone; at 1 the last look.
        limits: of each metric.
        alpha: error of the whole comparison, for regression and for pass each.
    """
    if min(len(statistic.numbers) for statistic in statistics.values()) < FEWEST_PAIRS:
        return Progress(share, progress.marked, progress.decided, progress.latest)
    vectors = {metric: signs.of(statistic.numbers) for metric, statistic in statistics.items()}
    tests = {metric: flip_test(statistic, vectors[metric]) for metric, statistic in statistics.items()}
    bar, marked = _bar(progress.marked, tests, spent(alpha, share))
    latest = dict[str, MetricLook]()
    for metric, statistic in statistics.items():
        if metric in progress.decided:
            latest[metric] = progress.decided[metric]
            continue
        level = _level(tests[metric], bar)
        latest[metric] = _metric_look(
            metric, statistic, vectors[metric], (tests[metric], level), limits[metric]
        )
    decided = {metric: each for metric, each in latest.items() if each.verdict is not None}
    return Progress(share, marked, decided, latest)


def _bar(
    marked: npt.NDArray[np.bool_], tests: Mapping[str, FlipTest], allowed: float
) -> tuple[float, npt.NDArray[np.bool_]]:
    """The lowest bar that marks no more than `allowed` of all vectors so far, and what it marks."""
    half = np.max([test.flips / test.scale for test in tests.values()], axis=0)
    other = np.max([-test.flips / test.scale for test in tests.values()], axis=0)
    largest = np.concatenate([half, other])
    before = marked if len(marked) else np.zeros(len(largest), np.bool_)
    left = int(allowed * len(largest) + 1e-9) - int(before.sum())
    if left < 1:
        return float("inf"), before
    unmarked = np.sort(largest[~before])[::-1]
    if left >= len(unmarked):
        return -float("inf"), np.ones_like(before)
    # Vectors that tie with the first that would be too many stay below the bar.
    above = unmarked[unmarked > unmarked[left] + 1e-9]
    bar = float(above[-1]) - 1e-9 if len(above) else float("inf")
    return bar, before | (largest >= bar)


def _level(test: FlipTest, bar: float) -> float:
    """The bar as a one-sided level of one metric's own test."""
    scaled = test.flips / test.scale
    return float(np.mean([scaled >= bar, -scaled >= bar]))


def _metric_look(
    metric: str, statistic: Statistic, signs: Floats, tested: tuple[FlipTest, float], limit: Limit
) -> MetricLook:
    test, level = tested
    most, floor = worse_log(metric, limit.regression), worse_log(metric, limit.floor)
    estimate = test.seen
    verdict: Verdict | None = None
    if level > 0:
        if test.p_less <= level and estimate <= worse_log(metric, -limit.floor):
            verdict = "improvement"
        elif flip_test(statistic, signs, most).p_less <= level:
            verdict = "pass"
        elif test.p_more <= level and estimate >= floor:
            verdict = "regression"
    return MetricLook(estimate, level, test.p_more, test.p_less, verdict, most, statistic, signs)
