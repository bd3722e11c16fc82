"""Records made by hand for the tests of the gate."""

from __future__ import annotations

from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.load import LoadResult, Percentile
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate, HostFacts
from modeldyno.base.records.usage import ResourceUsage


def load_result(
    *,
    p50_ms: tuple[float, float, float] = (10.0, 9.9, 10.1),
    throughput_rps: tuple[float, float, float] = (100.0, 99.0, 101.0),
    users: int = 1,
    host: HostFacts | None = None,
    invalid_reasons: tuple[str, ...] = (),
) -> LoadResult:
    """A load test of one user: value, and the two ends of its interval."""
    value, low, high = p50_ms
    rate = throughput_rps
    return LoadResult(
        started_at="2026-11-30T12:00:00+00:00",
        spec=LoadSpec(url="http://127.0.0.1:8080/invocations", users=users, payload_bytes=160),
        window_s=10.0,
        samples=1000,
        errors=0,
        error_rate=0.0,
        throughput_rps=Estimate(value=rate[0], low=rate[1], high=rate[2], method="by hand"),
        mean_ms=value,
        min_ms=1.0,
        max_ms=20.0,
        percentiles=(Percentile(percentile=50, ms=value, low_ms=low, high_ms=high),),
        histogram="",
        server=None,
        generator=ResourceUsage(cpu_cores_mean=0.1, memory_mib_max=50.0, samples=9),
        host=host or host_facts(),
        invalid_reasons=invalid_reasons,
    )
