"""Sign vectors: how the coins of a run could have fallen; one set for all looks and metrics; pure.

Where two candidates do not differ, the coin that drew which of them came first makes each pair's difference
as likely to be positive as negative, so that turning the signs of pairs gives values of the statistic that
were just as likely as the one that was seen (Fisher, The Design of Experiments, 1935, section 21; Pitman,
Supplement to the JRSS 4, 1937). The p-value is the share of the sign vectors that give at least as much.
Drawn vectors keep it exact as long as the vector without a change is among them (Hemerik and Goeman, Exact
testing with random permutations, TEST 27, 2018; Phipson and Smyth, SAGMB 9, 2010).

A vector and its opposite are both in the set, so half of it is kept: all statistics here change their sign
with the vector. Up to 13 pairs all of the 2^n vectors are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from modeldyno.trials.compare.latencies import Floats

VECTORS = 10_000
_KEPT = 8


class Signs:
    """The sign vectors of a run; the first is the one that was measured, all +1."""

    def __init__(self, seed: int, vectors: int = VECTORS) -> None:
        self.seed = seed
        self.vectors = vectors
        self._coins: dict[int, npt.NDArray[np.int8]] = {}
        self._made: dict[tuple[int, ...], Floats] = {}

    def of(self, numbers: Sequence[int]) -> Floats:
        """Half of the set for the pairs of these numbers: vectors x pairs; the other half is its opposite.

        The coins of a pair hang on its number alone: more pairs, or fewer, change nothing for the others.
        """
        key = tuple(numbers)
        if key not in self._made:
            while len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            self._made[key] = all_signs(len(key)) if 2 ** len(key) < self.vectors else self._drawn(key)
        return self._made[key]

    def _drawn(self, numbers: tuple[int, ...]) -> Floats:
        coins = np.stack([self._coin(number) for number in numbers])
        return np.ascontiguousarray(coins.T, dtype=np.float64)

    def _coin(self, number: int) -> npt.NDArray[np.int8]:
        if number not in self._coins:
            rng = np.random.default_rng((self.seed, number))
            coins = rng.integers(0, 2, self.vectors // 2, dtype=np.int8) * np.int8(2) - np.int8(1)
            coins[0] = 1
            self._coins[number] = coins
        return self._coins[number]


def all_signs(pairs: int) -> Floats:
    """All vectors whose first sign is +1: 2^(pairs - 1) x pairs, all +1 first."""
    numbers = np.arange(1 << max(pairs - 1, 0))
    bits = numbers[:, None] >> np.arange(pairs)[::-1] & 1
    return np.asarray(1 - 2 * bits, np.float64)
