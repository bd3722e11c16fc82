"""Load tests whose latencies are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.stats.summary import percentiles
from modeldyno.trials.compare.latencies import encoded
from tests.recommender.measured import point

RATE = LoadSpec(url="http://127.0.0.1:1/invocations", rate_rps=100.0)


def at_rate(latency_us: npt.ArrayLike, rps: float = 100.0, **other: Any) -> LoadResult:
    """A load test at 100 requests a second with these latencies."""
    values = np.asarray(latency_us, np.int64)
    told = {
        "spec": RATE,
        "samples": len(values),
        "histogram": encoded(np.sort(values)),
        "percentiles": percentiles(np.arange(len(values)), values),
        "mean_ms": float(values.mean()) / 1000,
    }
    return point(rps, rps_interval=(0.98 * rps, 1.02 * rps), **{**told, **other})
