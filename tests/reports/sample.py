"""Records of a run that was never measured, and the sample run folder made from them.

`python -m tests.reports.sample FOLDER` writes a folder like tests/golden/run, which holds the records of an
older version and is left as it is: a report reads those too.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from hdrh.histogram import HdrHistogram

from modeldyno.base.records.compiling import CompileSummary
from modeldyno.base.records.load import PERCENTILES, ErrorGroup, LoadResult, Percentile, TimelinePoint
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate, HostFacts, write_record
from modeldyno.base.records.run import (
    Candidate,
    InstanceType,
    Limits,
    Recommendation,
    Row,
    ServerSettings,
    Trial,
)
from modeldyno.base.records.usage import ResourceUsage
from modeldyno.base.units import usd_per_million

GOLDEN = Path(__file__).parents[1] / "golden" / "run"
Backend = Literal["onnxruntime", "compiled"]
WARMUP_S, DURATION_S = 3, 12
HOSTILE = "</pre><script>alert('boo')</script><img src=x onerror=alert(1)>"
CLOSED_LOOP = "latency under a closed loop hides queueing: users wait when the server is slow"
WARNING = "the load generator used 97 % of its core: it may have held the server back"
NOTES = (
    "memory was not capped: this system gives no cgroup",
    "the host's processor is not the instance type's",
)


def host() -> HostFacts:
    return HostFacts(
        cpu_model="AMD EPYC 9R14",
        architecture="x86_64",
        logical_cores=4,
        usable_cores=4,
        threads_per_core=2,
        cpu_features=("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni"),
        memory_gib=15.4,
        kernel="6.1.0-18-amd64",
        python="3.11.7",
        instance_type=None,
        packages={"modeldyno": "0.1.0", "apache-tvm": "0.27.0", "onnxruntime": "1.22.1", "locust": "2.41.0"},
    )


def instance(name: str, vcpus: int, usd_per_hour: float) -> InstanceType:
    return InstanceType(
        instance_type=name,
        family=name.split(".", maxsplit=1)[0],
        architecture="x86_64",
        vcpus=vcpus,
        cores=vcpus,
        memory_gib=2.0 * vcpus,
        cpu_model="AMD EPYC 9R14",
        coremark_per_s=None,
        gpu=None,
        usd_per_hour=usd_per_hour,
        price_date="2026-01-19",
        price_source="on-demand price list, us-east-1, Linux",
    )


def estimate(value: float, spread: float) -> Estimate:
    return Estimate(
        value=value,
        low=value * (1 - spread),
        high=value * (1 + spread),
        method="batch means of one second, Student t",
    )


def point(
    users: int,
    rps: float,
    median_ms: float,
    *,
    spread: float = 0.03,
    errors: tuple[ErrorGroup, ...] = (),
    warnings: tuple[str, ...] = (),
    seed: int = 0,
) -> LoadResult:
    """One load test: latencies are log-normal around the median, so many of them as `rps` gives."""
    draw = random.Random(seed)  # noqa: S311 - made-up latencies, no secret
    samples = round(rps * DURATION_S)
    failed = sum(group.count for group in errors)
    slow = sorted(round(median_ms * math.exp(draw.gauss(0, 0.16)), 3) for _ in range(samples))
    return LoadResult(
        started_at="2026-02-03T10:00:00+00:00",
        spec=LoadSpec(
            url="http://127.0.0.1:40001/invocations", users=users, warmup_s=WARMUP_S, duration_s=DURATION_S
        ),
        window_s=DURATION_S,
        samples=samples,
        errors=failed,
        error_rate=failed / max(1, samples + failed),
        error_groups=errors,
        throughput_rps=estimate(rps, spread),
        mean_ms=round(sum(slow) / samples, 3) if samples else None,
        min_ms=slow[0] if samples else None,
        max_ms=slow[-1] if samples else None,
        percentiles=tuple(_percentile(slow, wanted) for wanted in PERCENTILES),
        histogram=_histogram(slow),
        timeline=tuple(_second(second, rps, median_ms, draw) for second in range(WARMUP_S + DURATION_S)),
        server=ResourceUsage(cpu_cores_mean=min(1.9, 0.4 * users), memory_mib_max=310.5, samples=120),
        generator=ResourceUsage(cpu_cores_mean=0.21, memory_mib_max=96.0, samples=120),
        host=host(),
        warnings=(CLOSED_LOOP, *warnings),
    )


def trial(
    name: InstanceType,
    backend: Backend,
    points: Sequence[LoadResult],
    *,
    threads: int = 2,
    failure: str | None = None,
    log: str = "",
) -> Trial:
    return Trial(
        candidate=Candidate(
            backend=backend,
            instance_type=name.instance_type,
            settings=ServerSettings(threads=threads, workers=1),
        ),
        instance=name,
        fidelity="emulated",
        started_at="2026-02-03T10:00:00+00:00",
        seconds=64.0,
        startup_s=None if failure else 1.8,
        points=tuple(points),
        failure=failure,
        server_log_tail=log,
        notes=NOTES,
    )


def row(
    made: Trial, level: int | None, rank: int | None, *, tied: bool = False, reasons: tuple[str, ...] = ()
) -> Row:
    """Sum up a trial at one of its load levels (an index), or none."""
    at = made.points[level] if level is not None else None
    price = made.instance.usd_per_hour
    p99 = next((entry for entry in at.percentiles if entry.percentile == 99.0), None) if at else None
    rps = at.throughput_rps if at else None
    return Row(
        rank=rank,
        tied_with_best=tied,
        instance_type=made.instance.instance_type,
        backend=made.candidate.backend,
        settings=made.candidate.settings,
        users=at.spec.users if at else None,
        rate_rps=at.spec.rate_rps if at else None,
        p50_ms=at.percentile_ms(50.0) if at else None,
        p95_ms=at.percentile_ms(95.0) if at else None,
        p99_ms=p99.ms if p99 else None,
        p99_low_ms=p99.low_ms if p99 else None,
        p99_high_ms=p99.high_ms if p99 else None,
        throughput_rps=rps.value if rps else None,
        throughput_low_rps=rps.low if rps else None,
        throughput_high_rps=rps.high if rps else None,
        error_rate=at.error_rate if at else None,
        usd_per_hour=price,
        usd_per_million=usd_per_million(price, rps.value) if rps and rps.value else None,
        usd_per_million_low=usd_per_million(price, rps.high) if rps and rps.high else None,
        usd_per_million_high=usd_per_million(price, rps.low) if rps and rps.low else None,
        cpu_utilization=at.server.cpu_cores_mean / made.instance.vcpus if at and at.server else None,
        memory_mib=at.server.memory_mib_max if at and at.server else None,
        fidelity=made.fidelity,
        samples=at.samples if at else 0,
        trial=made.candidate.key,
        reasons=reasons,
        warnings=at.warnings if at else (),
    )


def recommendation(
    ranking: Sequence[Row], rejected: Sequence[Row] = (), limits: Limits | None = None
) -> Recommendation:
    return Recommendation(
        model="resnet50-v1-12.onnx",
        model_digest="9c1f3a5be2d7448091b6c0ffee5d21aa",
        created_at="2026-02-03T10:12:00+00:00",
        limits=limits or Limits(p99_ms=60.0),
        host=host(),
        compiled=CompileSummary(
            target="host (x86_64, znver4)", seconds=71.3, max_abs=3.1e-6, max_rel=8.4e-7, cosine=1.0
        ),
        ranking=tuple(ranking),
        rejected=tuple(rejected),
        notes=("Trials ran one after another in an order shuffled by seed 0.",),
    )


def write_run(folder: Path, found: Recommendation, trials: Sequence[Trial]) -> Path:
    write_record(folder / "recommendation.json", found)
    for one in trials:
        write_record(folder / "trials" / f"{one.candidate.key}.json", one)
    return folder


@cache
def sample() -> tuple[Recommendation, tuple[Trial, ...]]:
    """Seven candidates: a tie at the top, a baseline; one too slow, one dead, one that answers nothing."""
    c7a, m7a, c7m = (
        instance("c7a.large", 2, 0.10264),
        instance("m7a.large", 2, 0.11592),
        instance("c7a.medium", 1, 0.05132),
    )
    first = trial(
        c7a,
        "compiled",
        [point(1, 38.0, 26.0, seed=1), point(2, 66.0, 30.0, seed=2), point(4, 68.5, 57.5, seed=3)],
    )
    second = trial(
        m7a,
        "compiled",
        [
            point(1, 41.0, 24.1, seed=4),
            point(2, 71.5, 27.6, spread=0.05, seed=5),
            point(4, 73.0, 54.1, seed=6),
        ],
    )
    third = trial(
        c7a,
        "onnxruntime",
        [
            point(1, 30.0, 33.0, seed=7),
            point(2, 41.0, 48.0, seed=8, warnings=(WARNING,)),
            point(4, 42.0, 94.0, seed=9),
        ],
    )
    fourth = trial(c7m, "compiled", [point(1, 19.5, 41.0, seed=10), point(2, 20.0, 99.0, seed=11)], threads=1)
    over = trial(
        c7m, "onnxruntime", [point(1, 13.1, 76.0, seed=12), point(2, 13.0, 152.0, seed=13)], threads=1
    )
    dead = trial(
        m7a, "onnxruntime", [], failure=f"the server died while loading (exit status 137): {HOSTILE}", log=LOG
    )
    refused = ErrorGroup(status=500, message='{"error": "out of memory"}', count=214)
    empty = trial(c7a, "compiled", [point(1, 0.0, 1.0, errors=(refused,))], threads=1)
    over_limit = ("p99 112.0 ms > 60 ms at 1 user",)
    ranked = [row(first, 1, 1), row(second, 1, 2, tied=True), row(fourth, 0, 3), row(third, 0, 4)]
    rejected = [
        row(over, 0, None, reasons=over_limit),
        row(dead, None, None, reasons=(dead.failure or "",)),
        row(
            empty, 0, None, reasons=("no request succeeded at 1 user", "error rate 100.00% > 1.00% at 1 user")
        ),
    ]
    return recommendation(ranked, rejected), (first, second, third, fourth, over, dead, empty)


LOG = "\n".join(
    [
        "2026-02-03 10:03:11 loading /models/resnet50-v1-12.onnx",
        "\x1b[31m2026-02-03 10:03:12 ERROR\x1b[0m cannot allocate 3221225472 bytes",
        f"note for the operator: {HOSTILE}",
    ]
)


def _percentile(slow: Sequence[float], wanted: float) -> Percentile:
    """Nearest rank; the interval by binomial ranks (normal approximation); None when no sample is beyond."""
    share, number = wanted / 100.0, len(slow)
    if number * (1 - share) < 1.0:
        return Percentile(percentile=wanted, ms=None, low_ms=None, high_ms=None)
    half = 1.96 * math.sqrt(number * share * (1 - share))
    low, high = math.floor(number * share - half), math.ceil(number * share + half)
    return Percentile(
        percentile=wanted,
        ms=slow[min(number - 1, int(number * share))],
        low_ms=slow[max(0, low)],
        high_ms=slow[high] if high < number else None,
    )


def _histogram(slow: Sequence[float]) -> str:
    histogram = HdrHistogram(1, 60_000_000, 3)
    for value in slow:
        histogram.record_value(round(value * 1000))
    encoded: bytes = histogram.encode()
    return encoded.decode()


def _second(second: int, rps: float, median_ms: float, draw: random.Random) -> TimelinePoint:
    slower = 1.0 + 1.1 * math.exp(-1.3 * second)
    quiet = rps > 0
    return TimelinePoint(
        second=second,
        requests=round(rps),
        errors=0 if quiet else 18,
        p50_ms=round(median_ms * slower * draw.uniform(0.98, 1.02), 3) if quiet else None,
        p99_ms=round(median_ms * slower * draw.uniform(1.3, 1.5), 3) if quiet else None,
        warmup=second < WARMUP_S,
    )


if __name__ == "__main__":
    write_run(Path(sys.argv[1]), *sample())
