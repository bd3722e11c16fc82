"""When a load test is void: by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dyno.records import LoadSpec, ResourceUsage
from loadgen.recording import Recording
from loadgen.summary import Summary, summarise
from loadgen.validity import invalid_reasons

OPEN = LoadSpec(url="http://x", rate_rps=100.0, warmup_s=0.0, duration_s=10.0)
CLOSED = LoadSpec(url="http://x", users=1, warmup_s=0.0, duration_s=10.0)


def summary(latency_ms: float, lag_ms: float) -> Summary:
    starts = np.arange(1000, dtype=np.int64) * 10_000
    none = np.zeros(0, np.int64)
    recording = Recording(
        start_us=starts,
        latency_us=np.full(1000, latency_ms * 1000, np.int64),
        lag_us=np.full(1000, lag_ms * 1000, np.int64),
        failure_start_us=none,
        failure_latency_us=none,
        failure_kind=none,
    )
    return summarise(recording, OPEN)


def generator(cores: float) -> ResourceUsage:
    return ResourceUsage(cpu_cores_mean=cores, memory_mib_max=100.0, samples=10)


def test_a_schedule_that_was_kept_is_valid() -> None:
    assert invalid_reasons(OPEN, summary(20, 4.9), 0, generator(0.5)) == ()
    # A tenth of a median of 200 ms is 20 ms.
    assert invalid_reasons(OPEN, summary(200, 19), 0, None) == ()


def test_late_sending_voids_an_open_loop() -> None:
    (reason,) = invalid_reasons(OPEN, summary(20, 6), 0, generator(0.5))
    assert "sent late: 99th percentile 6 ms, bound 5 ms" in reason


def test_a_closed_loop_has_no_schedule_to_be_late_for() -> None:
    late = replace(summary(20, 6), lateness_p99_ms=None)
    assert invalid_reasons(CLOSED, late, 0, generator(0.5)) == ()


def test_a_busy_generator_and_lost_requests_void_any_loop() -> None:
    reasons = invalid_reasons(CLOSED, summary(20, 0), 3, generator(0.97))
    assert [reason.split(" ", 2)[:2] for reason in reasons] == [["3", "requests"], ["the", "generator"]]
