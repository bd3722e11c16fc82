"""A fixed piece of work, timed beside the blocks: what the machine makes of the same instructions now.

It needs a core and its first-level cache alone, so it tells the clock and a neighbour on the same core, and
hangs on nothing that a server does. The fastest of several runs counts: one that was put off says nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

RUNS = 5
FIRST_RUNS = 50
SIZE = 96
"""Of two square matrices: 1.8 million operations, 75 KB."""


class Yardstick:
    """Times the work; the unit is what it takes before the first block."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._one, self._other = (rng.standard_normal((SIZE, SIZE)) for _ in range(2))
        self._unit_s: float | None = None

    def ratio(self, cores: Sequence[int]) -> float:
        """Time of the work now on one of these cores over that before the first block."""
        with _on(cores):
            if self._unit_s is None:
                self._unit_s = self._fastest_s(FIRST_RUNS)
            return self._fastest_s(RUNS) / self._unit_s

    def _fastest_s(self, runs: int) -> float:
        return min(self._run_s() for _ in range(runs))

    def _run_s(self) -> float:
        began = time.perf_counter()
        np.einsum("ij,jk", self._one, self._other, optimize=False)  # no BLAS: one thread, one core
        return time.perf_counter() - began


@contextmanager
def _on(cores: Sequence[int]) -> Iterator[None]:
    """Have this thread run on the first of these cores, where the system lets it choose."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, {cores[0]})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)
