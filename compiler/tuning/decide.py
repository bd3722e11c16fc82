"""The decisions of a search, apart from all measuring: pure functions of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import TypeVar

# A candidate replaces the default if it takes at most this share of its time ...
WORTH_RATIO = 0.97
# ... over at least so many rounds, in three quarters of which it was the faster of the two.
FEWEST_ROUNDS = 7

K = TypeVar("K")


def ratios(challenger_us: Sequence[float], default_us: Sequence[float]) -> list[float]:
    """Compare within each round: what slows the machine for a while slows both."""
    return [mine / other for mine, other in zip(challenger_us, default_us, strict=True)]


def spread(values: Sequence[float]) -> float:
    """Distance between the quartiles; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low


def replaces(challenger_us: Sequence[float], default_us: Sequence[float]) -> bool:
    """Whether the challenger is faster than the default by more than the noise.

    Both were measured once in each round, one right after the other. The rounds must not be those that the
    challenger was picked by: the best of many is partly the luckiest.
    """
    found = ratios(challenger_us, default_us)
    if len(found) < FEWEST_ROUNDS:
        return False
    upper = quantiles(found, n=4, method="inclusive")[2]
    return median(found) < WORTH_RATIO and upper < 1.0


def better_half(times_us: Mapping[K, Sequence[float]], default_us: Sequence[float]) -> list[K]:
    """Give the candidates whose median ratio to the default is best, best first: half of them, rounded up."""
    ranked = sorted(times_us, key=lambda key: median(ratios(times_us[key], default_us)))
    return ranked[: (len(ranked) + 1) // 2]
