"""When a load test is void: by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modeldyno.base.records.load import Outcome
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.usage import Spread, WorkerUsage
from modeldyno.loadgen.stats.recording import Recording
from modeldyno.loadgen.stats.summary import Summary, summarise
from modeldyno.loadgen.verdict.validity import invalid_reasons

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


def spread(p99_ms: float) -> Spread:
    return Spread(samples=100, p50_ms=0.1, p99_ms=p99_ms, max_ms=50.0, histogram="")


def process(
    cores: float = 0.5, late_ms: float = 1.0, lag_ms: float = 1.0, number: int = 1, awake: float | None = None
) -> WorkerUsage:
    return WorkerUsage(
        worker=number,
        host="here",
        pid=number,
        requests=500,
        cpu_cores_mean=cores,
        awake_cores_mean=awake,
        lateness=spread(late_ms),
        loop_lag=spread(lag_ms),
    )


def test_a_schedule_that_was_kept_is_valid() -> None:
    assert invalid_reasons(OPEN, summary(20, 4.9), 0, [process()]) == ()
    # A tenth of a median of 200 ms is 20 ms.
    assert invalid_reasons(OPEN, summary(200, 19), 0, ()) == ()


def test_requests_that_this_machine_had_no_socket_for_void_the_test() -> None:
    without = Outcome(endpoint="/", outcome="no_socket", status=None, count=3, latency=spread(1.0))
    found = replace(summary(20, 1), outcomes=(without,))
    for spec in (OPEN, CLOSED):
        (reason,) = invalid_reasons(spec, found, 0, [process()])
        assert "had no socket for 3 requests: raise its limit of open files (ulimit -n)" in reason


def test_late_sending_voids_an_open_loop() -> None:
    (reason,) = invalid_reasons(OPEN, summary(20, 6), 0, [process()])
    assert "sent late: 99th percentile 6 ms, bound 5 ms" in reason


def test_a_closed_loop_has_no_schedule_to_be_late_for() -> None:
    late = replace(summary(20, 6), lateness=None)
    assert invalid_reasons(CLOSED, late, 0, [process()]) == ()


def test_a_busy_generator_and_lost_requests_void_any_loop() -> None:
    reasons = invalid_reasons(CLOSED, summary(20, 0), 3, [process(cores=0.97)])
    assert [reason.split(" ", 2)[:2] for reason in reasons] == [["3", "requests"], ["the", "generator"]]


def test_keeping_awake_for_the_next_arrival_is_no_work() -> None:
    assert invalid_reasons(CLOSED, summary(20, 0), 0, [process(cores=0.97, awake=0.05)]) == ()
    assert len(invalid_reasons(CLOSED, summary(20, 0), 0, [process(cores=0.97, awake=0.01)])) == 1


def test_a_late_event_loop_voids_any_loop_and_the_median_sets_the_bound() -> None:
    (reason,) = invalid_reasons(CLOSED, summary(20, 0), 0, [process(lag_ms=6)])
    assert "the event loop of the generator was late: 99th percentile 6 ms, bound 5 ms" in reason
    assert invalid_reasons(CLOSED, summary(200, 0), 0, [process(lag_ms=6)]) == ()


def test_each_worker_is_judged_by_itself() -> None:
    # All together are late by 1 ms at most: the second worker alone is not.
    workers = [process(), process(late_ms=6, number=2), process(cores=0.99, number=3)]
    reasons = invalid_reasons(OPEN, summary(20, 1), 0, workers)
    assert [reason.split(":")[0] for reason in reasons] == [
        "worker 2 of 3 sent late",
        "worker 3 of 3 kept 0.99 of its one core busy, bound 0.95",
    ]
