"""Samples of the queues of benchmarks.loadgen.queueing, many at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.loadgen.queueing import Queue

Floats = npt.NDArray[np.float64]
RELAXED = 400
"""Customers who come before the first that counts, into an empty queue."""


def queue_samples(queue: Queue, samples: int, runs: int, rng: np.random.Generator) -> Floats:
    """Times in the system of `samples` customers one after the other, in each of `runs` rows; seconds.

    Lindley's recursion without a loop: the wait is the walk of (service - gap) above its lowest point so far.
    """
    shape = (runs, samples + RELAXED)
    gaps = rng.exponential(1 / queue.rate, shape)
    lasting = np.full(shape, queue.service_s) if queue.fixed else rng.exponential(queue.service_s, shape)
    steps = np.zeros(shape)
    steps[:, 1:] = lasting[:, :-1] - gaps[:, 1:]
    walk = np.cumsum(steps, axis=1)
    spent: Floats = walk - np.minimum.accumulate(walk, axis=1) + lasting
    return spent[:, RELAXED:]
