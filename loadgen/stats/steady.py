"""When the latency of a run settled: MSER-5, a rule that finds the warm-up instead of assuming it; pure.

White's marginal standard error rule (White, Simulation 69, 1997; White, Cobb and Spratt, Winter Simulation
Conference 2000): the latencies, in order of their start and averaged in batches of BATCH, are cut at the
batch d that makes the standard error of the rest smallest, sum over i >= d of (x_i - mean)^2 / (n - d)^2. A
cut in the second half of the run means that it never settled.
"""

from __future__ import annotations

import numpy as np

from modeldyno.loadgen.stats.recording import Ints

BATCH = 5
FEWEST_BATCHES = 20


def steady_from_us(start_us: Ints, latency_us: Ints) -> int | None:
    """Start of the first request of the settled part, 0 when all of it is; None when it never settled.

    None too with fewer than BATCH * FEWEST_BATCHES requests, which say nothing.
    """
    count = len(start_us) // BATCH
    if count < FEWEST_BATCHES:
        return None
    order = np.argsort(start_us, kind="stable")
    batches = latency_us[order][: count * BATCH].reshape(count, BATCH).mean(axis=1)
    centred = batches - batches.mean()  # so that the sums of squares keep their digits
    left = np.arange(count, 0, -1)
    sums, squares = np.cumsum(centred[::-1])[::-1], np.cumsum(centred[::-1] ** 2)[::-1]
    errors = (np.maximum(squares - sums**2 / left, 0.0) / left.astype(np.float64) ** 2)[: count // 2 + 1]
    cut = int(np.argmin(errors))
    if cut == count // 2:
        return None
    return int(start_us[order][cut * BATCH]) if cut else 0
