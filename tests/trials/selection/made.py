"""Blocks of candidates in rounds, for tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modeldyno.trials.compare.blocks import Block, Readings
from modeldyno.trials.compare.latencies import binned

QUIET = Readings(foreign_cpu=0.0, yardstick=1.0)


def rounds(
    means_us: Mapping[str, float],
    number: int,
    *,
    first: int = 0,
    epoch: int = 0,
    noise: float = 0.02,
    seed: int = 0,
) -> list[Block]:
    """A block of 20 requests of each cell in each round; whatever the machine does meets all of a round."""
    rng = np.random.default_rng(seed)
    found = []
    for each in range(first, first + number):
        shared = np.exp(0.1 * rng.standard_normal())
        for position, (cell, mean_us) in enumerate(means_us.items()):
            times = mean_us * shared * np.exp(noise * rng.standard_normal(20))
            found.append(
                Block(
                    cell,
                    each,
                    epoch,
                    position,
                    float(each),
                    float(times.sum()) / 1e6,
                    binned(times.astype(int)),
                    cpu_s=float(times.sum()) / 1e6,
                    readings=QUIET,
                )
            )
    return found
