"""When a load test is no measurement of the server: its generator was the bottleneck; pure.

A warning taints numbers; these reasons void them. Bounds: a sender's 99th percentile of lateness at most 5
ms or a tenth of the median latency, whichever is more; the generator's process at most 95 % of its one core;
no request of the schedule without an end.
"""

from __future__ import annotations

from collections.abc import Iterator

from dyno.records import LoadSpec, ResourceUsage
from loadgen.caveats import MOST_LAG_MS, MOST_LAG_SHARE
from loadgen.summary import Summary

MOST_CORES = 0.95


def invalid_reasons(
    spec: LoadSpec, summary: Summary, lost: int, generator: ResourceUsage | None
) -> tuple[str, ...]:
    """Say why the load was not the one that was asked for; empty when it was."""
    return tuple(_reasons(spec, summary, lost, generator))


def _reasons(spec: LoadSpec, summary: Summary, lost: int, generator: ResourceUsage | None) -> Iterator[str]:
    bound = max(MOST_LAG_MS, MOST_LAG_SHARE * (summary.p50_ms or 0.0))
    if spec.rate_rps is not None and (summary.lateness_p99_ms or 0.0) > bound:
        yield (
            f"requests were sent late: 99th percentile {summary.lateness_p99_ms:.3g} ms, "
            f"bound {bound:.3g} ms; lower the rate, or give the generator a core of its own"
        )
    if lost:
        yield f"{lost} requests of the window never came to an end in the generator"
    if generator is not None and generator.cpu_cores_mean > MOST_CORES:
        yield (
            f"the generator kept {generator.cpu_cores_mean:.2f} of its one core busy, bound {MOST_CORES:g}: "
            "it set the rate, not the server"
        )
