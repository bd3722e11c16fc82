"""Trials with numbers that are easy to work with by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.load import PERCENTILES, LoadResult, Percentile
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import Candidate, InstanceType, Limits, Recommendation, ServerSettings, Trial
from modeldyno.base.records.usage import ResourceUsage
from modeldyno.recommender.rank.rank import rank

STARTED = "2026-08-01T12:00:00+00:00"


def point(
    rps: float = 100.0,
    p99_ms: float | None = 50.0,
    *,
    rps_interval: tuple[float, float] | None = None,
    p99_interval: tuple[float | None, float | None] | None = None,
    p50_ms: float | None = 10.0,
    users: int = 4,
    samples: int = 1000,
    error_rate: float = 0.0,
    cpu_cores: float | None = 1.0,
    **other: Any,
) -> LoadResult:
    """One load test; the intervals are as narrow as can be unless given."""
    low, high = rps_interval or (rps, rps)
    low_ms, high_ms = p99_interval or (p99_ms, p99_ms)
    exact = {50.0: p50_ms, 90.0: p50_ms, 95.0: p50_ms, 99.9: None}
    percentiles = [Percentile(percentile=p, ms=ms, low_ms=ms, high_ms=ms) for p, ms in exact.items()]
    percentiles.append(Percentile(percentile=99.0, ms=p99_ms, low_ms=low_ms, high_ms=high_ms))
    usage = (
        None if cpu_cores is None else ResourceUsage(cpu_cores_mean=cpu_cores, memory_mib_max=300, samples=9)
    )
    values: dict[str, Any] = {
        "started_at": STARTED,
        "spec": LoadSpec(url="http://127.0.0.1:1/invocations", users=users),
        "window_s": 10.0,
        "samples": samples,
        "errors": 0,
        "error_rate": error_rate,
        "throughput_rps": Estimate(value=rps, low=low, high=high, method="given"),
        "mean_ms": p50_ms,
        "min_ms": p50_ms,
        "max_ms": p99_ms,
        "percentiles": tuple(sorted(percentiles, key=lambda entry: PERCENTILES.index(entry.percentile))),
        "histogram": "",
        "server": usage,
        "generator": ResourceUsage(cpu_cores_mean=0.2, memory_mib_max=80, samples=9),
        "host": host_facts(),
    }
    return LoadResult.model_validate(values | other)


def instance(name: str = "c5.large", usd_per_hour: float = 0.36, vcpus: int = 2) -> InstanceType:
    """An instance type; 0.36 USD an hour at 100 requests a second is 1 USD a million."""
    return InstanceType(
        instance_type=name,
        family=name.partition(".")[0],
        architecture="x86_64",
        vcpus=vcpus,
        cores=None,
        memory_gib=4.0,
        cpu_model=None,
        coremark_per_s=None,
        gpu=None,
        usd_per_hour=usd_per_hour,
        price_date="2026-07-20",
        price_source="given",
    )


def trial(
    *points: LoadResult,
    on: InstanceType | None = None,
    backend: Literal["onnxruntime", "compiled"] = "compiled",
    threads: int = 1,
    failure: str | None = None,
) -> Trial:
    """A trial of these load tests."""
    rented = on or instance()
    settings = ServerSettings(threads=threads)
    return Trial(
        candidate=Candidate(backend=backend, instance_type=rented.instance_type, settings=settings),
        instance=rented,
        fidelity="emulated",
        started_at=STARTED,
        seconds=30.0,
        startup_s=1.0,
        points=points,
        failure=failure,
    )


def recommended(trials: Sequence[Trial], limits: Limits) -> Recommendation:
    """The ranking of these trials, as a run writes it."""
    ranking, rejected = rank(trials, limits)
    return Recommendation(
        model="m.onnx",
        model_digest="0",
        created_at=STARTED,
        limits=limits,
        host=host_facts(),
        ranking=ranking,
        rejected=rejected,
    )
