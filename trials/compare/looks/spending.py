"""How much error each look at the pairs may spend, and what that comes to as levels; pure.

The looks lie at 20, 33, 50, 67, 83 and 100 % of the budget. Up to the share t of the budget alpha t^2 may be
spent (Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70, 1983; this family:
Kim and DeMets, Biometrika 74, 1987). O'Brien and Fleming's boundary would spend 2e-9 at the first look, which
10,000 sign vectors can't state: it gives no verdict before 67 %.

`nominal_levels` are the one-sided levels of the looks for a statistic whose values are those of a Brownian
motion, by numerical integration (Armitage, McPherson and Rowe, JRSS A 132, 1969). A run takes its levels from
its own flips (`sequential`); these serve to say beforehand what it can find.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from modeldyno.trials.compare.latencies import Floats

LOOKS = (0.2, 0.33, 0.5, 0.67, 0.83, 1.0)
ALPHA = 0.01
_GRID = 801
_WIDEST = 8.0
NORMAL = NormalDist()


def spent(alpha: float, share: float) -> float:
    """What may be spent up to this share of the budget.

    >>> spent(0.01, 0.5)
    0.0025
    """
    return alpha * min(1.0, share) ** 2


@lru_cache(maxsize=64)
def nominal_levels(alpha: float = ALPHA, looks: tuple[float, ...] = LOOKS) -> tuple[float, ...]:
    """One-sided level of each look; together they reject `alpha` of the time where there is no difference."""
    levels, before, density, grid = [], 0.0, np.ones(1), np.zeros(1)
    for share in looks:
        scale = math.sqrt(share)
        wide = np.linspace(-_WIDEST * scale, _WIDEST * scale, _GRID)
        density = _moved(density, grid, wide, share - before)
        wanted = spent(alpha, share) - spent(alpha, before)
        bar = _bar(density, wide, wanted)
        levels.append(1 - NORMAL.cdf(bar / scale))
        density, grid, before = np.where(wide < bar, density, 0.0), wide, share
    return tuple(levels)


def _moved(density: Floats, grid: Floats, wide: Floats, time: float) -> Floats:
    """The density after Brownian motion for a time; weights, so that they sum to a probability."""
    step = wide[1] - wide[0]
    kernel = np.exp(-((wide[:, None] - grid) ** 2) / (2 * time)) / math.sqrt(2 * math.pi * time)
    found: Floats = kernel @ density * step
    return found


def _bar(density: Floats, grid: Floats, wanted: float) -> float:
    """Where the tail holds `wanted`."""
    tail = np.cumsum(density[::-1])[::-1]
    return float(np.interp(wanted, tail[::-1], grid[::-1] - (grid[1] - grid[0]) / 2))
