"""The smallest regression that a run would have found 80 % of the time; what a smaller one needs; pure.

The run is played with normal increments: at a look at the share t of the budget the estimate has the standard
error se / sqrt(t), the levels are those of `spending.nominal_levels`, and a path ends with its first verdict
by the rules of `sequential`, pass before regression. For each path the verdict can only turn from pass to
regression as the true difference grows, so that the share found grows with it and is inverted by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.looks.sequential import Limit, MetricLook
from modeldyno.trials.compare.looks.spending import ALPHA, LOOKS, NORMAL, nominal_levels
from modeldyno.trials.compare.metrics import worse_log, worse_share
from modeldyno.trials.compare.plan import FEWEST_PAIRS

FOUND = 0.8
_PATHS = 4000
_STEPS = 40


def looks_of(pairs: int, looks: Sequence[float] = LOOKS) -> tuple[float, ...]:
    """The looks at which a run that ends with so many pairs has enough of them."""
    return tuple(look for look in looks if round(look * pairs) >= FEWEST_PAIRS)


def found_share(
    true: float,
    error: float,
    limits: tuple[float, float],
    looks: tuple[float, ...] = LOOKS,
    alpha: float = ALPHA,
) -> float:
    """How often a true log ratio ends as a regression.

    Args:
        true: log ratio, above 0 worse.
        error: standard error of the estimate at the end of the budget.
        limits: the limit and the floor, as log ratios.
        looks: as shares of the budget.
        alpha: of the whole comparison.
    """
    limit, floor = limits
    shares = np.array(looks)
    bars = np.array([-NORMAL.inv_cdf(level) for level in nominal_levels(alpha, looks)])
    estimates = true + error * _paths(looks)
    reach = bars * error / np.sqrt(shares)
    passed, worse = estimates + reach <= limit, (estimates >= reach) & (estimates >= floor)
    first = (passed | worse).argmax(axis=1)
    rows = np.arange(len(estimates))
    return float((worse & ~passed)[rows, first].mean())


def smallest_found(
    error: float, limits: tuple[float, float], looks: tuple[float, ...] = LOOKS, alpha: float = ALPHA
) -> float:
    """The log ratio that is found 80 % of the time, arguments as `found_share`; infinite without a look."""
    if not looks:
        return math.inf
    low, high = 0.0, max(limits) + 10 * error
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = found_share(middle, error, limits, looks, alpha) >= FOUND
        low, high = (low, middle) if found else (middle, high)
    return high


def smallest_regression(
    metric: str, each: MetricLook, pairs_at_end: int, limit: Limit, *, metrics: int = 1, alpha: float = ALPHA
) -> float:
    """The regression that this run would have found 80 % of the time had it gone on to its end, as a share.

    Args:
        metric: its name.
        each: its latest look.
        pairs_at_end: pairs that the whole budget holds.
        limit: of the metric.
        metrics: how many share alpha: what this one has of it shows in the look's level, and is an equal
            share at least.
        alpha: of the whole comparison.
    """
    looks = looks_of(pairs_at_end)
    pairs = len(each.statistic.numbers)
    error = each.standard_error * math.sqrt(pairs / max(pairs, pairs_at_end))
    nearest = min(looks, key=lambda share: abs(share * pairs_at_end - pairs), default=None)
    if nearest is None:
        return math.inf
    alone = nominal_levels(alpha, looks)[looks.index(nearest)]
    # Two digits: the levels of an alpha take a tenth of a second to integrate, once.
    own = float(f"{alpha * min(1.0, max(each.level / alone, 1 / metrics)):.2g}")
    limits = worse_log(metric, limit.regression), worse_log(metric, limit.floor)
    return worse_share(metric, smallest_found(error, limits, looks, own))


def budget_factor(error: float, limits: tuple[float, float], alpha: float = ALPHA) -> float:
    """How many times the budget finds a regression at the limit 80 % of the time; 1 where this one does.

    Infinite where no budget does: the floor is above the limit.
    """
    limit, floor = limits
    if found_share(limit, 0.0, limits, LOOKS, alpha) < FOUND and floor > limit:
        return math.inf
    low, high = 0.0, max(error, 1e-9)
    if found_share(limit, high, limits, LOOKS, alpha) >= FOUND:
        return 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = found_share(limit, middle, limits, LOOKS, alpha) >= FOUND
        low, high = (middle, high) if found else (low, middle)
    return (error / low) ** 2 if low > 0 else math.inf


@cache
def _paths(looks: tuple[float, ...]) -> Floats:
    """Standard Brownian motion over time at each look; always the same paths."""
    steps = np.diff(np.array((0.0, *looks)))
    moves = np.random.default_rng(0).standard_normal((_PATHS, len(looks))) * np.sqrt(steps)
    found: Floats = np.cumsum(moves, axis=1) / np.array(looks)
    return found
