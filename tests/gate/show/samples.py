"""GateRecords made by hand: one of each answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from modeldyno.base.records.gate import (
    FieldChange,
    GateLoad,
    GateMetric,
    GateRecord,
    GateSide,
    GateWarning,
    KernelChange,
    OutputsCompared,
)
from modeldyno.base.records.record import HostFacts
from modeldyno.loadgen.stats.hdr import encode_histogram

HOSTILE = "</pre><script>alert('boo')</script>|`@team` *x* [a](http://e.vil)\x1b[31m"
HOST = HostFacts(
    cpu_model="AMD EPYC 9R14",
    architecture="x86_64",
    logical_cores=4,
    usable_cores=2,
    threads_per_core=2,
    cpu_features=("avx2",),
    memory_gib=15.4,
    kernel="6.1.0",
    python="3.11.7",
    instance_type=None,
    packages={"modeldyno": "0.1.0", "apache-tvm": "0.27.0"},
)


def side(reference: str, **other: Any) -> GateSide:
    values: dict[str, Any] = {"kind": "artifact", "digest": f"digest-of-{reference}", "starts": 2}
    return GateSide(
        reference=reference,
        **values | {"requests": 4800, "startup_s": (0.8, 0.9), "memory_mib": 210.0} | other,
    )


def metric(name: str = "p50_ms", **other: Any) -> GateMetric:
    """p50 slower by 6.1 %, over the limit of 5 %, unless said otherwise."""
    values: dict[str, Any] = {
        "verdict": "regression",
        "text": "slower by 6.1 % (5.3 to 7.0), over the limit of 5 %",
        "baseline": 10.2,
        "candidate": 10.822,
        "change": 0.061,
        "change_low": 0.053,
        "change_high": 0.070,
        "confidence": 0.99,
        "median_change": 0.0605,
        "max_regression": 0.05,
        "ignore_below": 0.025,
        "pairs": 96,
        "smallest_found": 0.021,
        "decided_s": 24.0,
    }
    return GateMetric(metric=name, **values | other)


THROUGHPUT = metric(
    "throughput_rps",
    verdict="pass",
    text="fewer by 3.1 % (2.2 to 4.0), under the limit of 5 %",
    unit="requests/s",
    baseline=96.0,
    candidate=93.0,
    change=0.031,
    change_low=0.022,
    change_high=0.040,
)
SIZE = metric(
    "artifact_bytes",
    exact=True,
    verdict="pass",
    text="code and weights: 102.760 MB on both sides; shown, not limited",
    unit="bytes",
    baseline=102_760_448.0,
    candidate=102_760_448.0,
    change=0.0,
    change_low=None,
    change_high=None,
    confidence=None,
    median_change=None,
    max_regression=None,
    ignore_below=None,
    pairs=0,
    smallest_found=None,
    decided_s=None,
)


def latencies(middle_ms: float, count: int = 4000) -> str:
    """A histogram of latencies around `middle_ms`, with a tail."""
    rng = np.random.default_rng(1)
    return encode_histogram((1000 * middle_ms * np.exp(rng.normal(0, 0.04, count))).astype(np.int64))


def record(**other: Any) -> GateRecord:
    """A regression of p50, with all that is known about it."""
    values: dict[str, Any] = {
        "created_at": "2026-08-01T12:00:00+00:00",
        "verdict": "regression",
        "exit_code": 1,
        "headline": "Regression: build/resnet50 is slower than main: p50 by 6.1 % (5.3 to 7.0), limit 5 %.",
        "command": "dyno gate --baseline main --candidate build/resnet50",
        "baseline": side("main", kind="baseline"),
        "candidate": side("build/resnet50"),
        "load": GateLoad(users=1, payload="random, 602 KB", cpus=(0,), budget_s=60.0, alpha=0.01, seed=7),
        "metrics": (metric(), THROUGHPUT, SIZE),
        "seconds": 31.0,
        "pairs": 96,
        "pairs_dropped": 4,
        "dropped_for": {"CPU of others": 4},
        "epochs": 2,
        "between_starts": 0.004,
        "kernels": (
            KernelChange(name="fused_conv2d_add_relu", baseline_ms=3.1, candidate_ms=3.6, share=0.81),
            KernelChange(name="fused_dense", baseline_ms=None, candidate_ms=0.1, share=0.16),
        ),
        "fields": (FieldChange(field="toolchain.llvm", baseline="20.1", candidate="21.0"),),
        "outputs": OutputsCompared(bodies=8, same=True, text="largest difference 3e-6, of `logits`"),
        "histograms": {"baseline": latencies(10.2), "candidate": latencies(10.822)},
        "host": HOST,
    }
    return GateRecord(**values | other)


NOISY = GateWarning(
    rank="weak",
    text="8 of 104 pairs lost a block to other work on CPU 0",
    advice="stop what else runs there, or name another CPU with --cpus",
)
REGRESSION = record(warnings=(NOISY,))
PASS = record(
    verdict="pass",
    exit_code=0,
    headline="Pass: build/resnet50 is within 5 % of main.",
    metrics=(
        metric(
            verdict="pass",
            text="faster by 0.1 % (-0.4 to 0.6)",
            change=-0.001,
            change_low=-0.006,
            change_high=0.004,
            candidate=10.19,
        ),
        SIZE,
    ),
    kernels=(),
    fields=(),
)
IMPROVEMENT = record(
    verdict="improvement",
    exit_code=0,
    headline="Improvement: build/resnet50 is faster than main: p50 by 8.2 % (7.5 to 9.0).",
    metrics=(
        metric(
            verdict="improvement",
            text="faster by 8.2 % (7.5 to 9.0)",
            change=-0.082,
            change_low=-0.09,
            change_high=-0.075,
            candidate=9.36,
        ),
    ),
    histograms={"baseline": latencies(10.2), "candidate": latencies(9.36)},
    kernels=(),
    fields=(),
)
VOID = record(
    verdict="inconclusive",
    exit_code=3,
    headline="Not decided: the load generator could not keep up.",
    metrics=(
        metric(
            verdict="inconclusive",
            text="not judged: the measurement is void",
            change=None,
            change_low=None,
            change_high=None,
            candidate=None,
            baseline=None,
            smallest_found=None,
            decided_s=None,
        ),
    ),
    warnings=(
        GateWarning(rank="note", text="frequency of the CPU could not be read"),
        NOISY,
        GateWarning(
            rank="void", text="requests were sent late", advice="leave the generator a core of its own"
        ),
        GateWarning(rank="weak", text="one start of each side only", advice="raise --budget to 60s"),
    ),
    histograms={},
    kernels=(),
    fields=(),
)
UNDECIDED = record(
    verdict="inconclusive",
    exit_code=3,
    headline="Not decided after 60s: p50 is slower by 4.8 % (3.6 to 6.1), and the limit of 5 % lies within.",
    metrics=(
        metric(
            verdict="inconclusive",
            text="slower by 4.8 % (3.6 to 6.1), the limit of 5 % lies within",
            change=0.048,
            change_low=0.036,
            change_high=0.061,
        ),
    ),
)
EQUAL = record(
    verdict="pass",
    exit_code=0,
    headline="Pass: both sides are the same, byte for byte; nothing was measured (--force measures).",
    metrics=(),
    measured=False,
    seconds=0.4,
    pairs=0,
    pairs_dropped=0,
    epochs=0,
    between_starts=None,
    histograms={},
    kernels=(),
    fields=(),
    outputs=None,
)
URLS = record(
    verdict="inconclusive",
    exit_code=3,
    headline="Not decided: p50_ms slower by 6.1 % (5.3 to 7.0), over the limit of 5 %.",
    baseline=side("http://a:8080", kind="url", starts=0, startup_s=(), memory_mib=None),
    candidate=side("http://b:8080/invocations", kind="url", starts=0, startup_s=(), memory_mib=None),
    warnings=(
        GateWarning(
            rank="weak",
            text="both sides are URLs: what else their machines do is not seen",
            advice="gate artifacts, or say --trust-url",
        ),
    ),
    kernels=(),
    fields=(),
)
ALL = {
    "regression": REGRESSION,
    "pass": PASS,
    "improvement": IMPROVEMENT,
    "void": VOID,
    "undecided": UNDECIDED,
    "equal": EQUAL,
    "urls": URLS,
}


def poisoned() -> GateRecord:
    """The regression with markup in front of every text that is free."""
    fixed = {"verdict", "kind", "rank", "created_at"}

    def put(found: Any, name: str = "") -> Any:
        if isinstance(found, dict):
            return found if name == "histograms" else {key: put(one, key) for key, one in found.items()}
        if isinstance(found, list | tuple):
            return [put(one, name) for one in found]
        return HOSTILE + found if isinstance(found, str) and name not in fixed else found

    return GateRecord.model_validate(put(REGRESSION.model_dump()))
