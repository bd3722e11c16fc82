from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.usage import ResourceUsage
from modeldyno.loadgen.stats.recording import FailureKind, Ints, Recording
from modeldyno.loadgen.stats.summary import summarise
from modeldyno.loadgen.verdict.caveats import caveats
from modeldyno.loadgen.watch.circumstances import Circumstances
from modeldyno.loadgen.watch.usage import WindowUsage

OPEN = LoadSpec(url="http://host/", rate_rps=500, warmup_s=0, duration_s=8)
CLOSED = LoadSpec(url="http://host/", users=4, warmup_s=0, duration_s=8)
NOTHING: Ints = np.array([], dtype=np.int64)
FINE = Recording(
    start_us=np.arange(4000) * 2000,
    latency_us=np.full(4000, 1000),
    lag_us=np.full(4000, 50),
    failure_start_us=NOTHING,
    failure_latency_us=NOTHING,
    failure_kind=NOTHING,
    kinds=(FailureKind(500, "status", "boom"),),
    arrivals=4000,
    users=16,
)


def usage(generator_cores: float = 0.3, other_cores: float = 0.1, stolen_share: float = 0.0) -> WindowUsage:
    generator = ResourceUsage(cpu_cores_mean=generator_cores, memory_mib_max=70, samples=20)
    return WindowUsage({"generator": generator}, other_cores, stolen_share)


QUIET = Circumstances(usage=usage(), shared_cores=0, server_unseen=False, logical_cores=8)


def words(
    recording: Recording = FINE, around: Circumstances = QUIET, spec: LoadSpec = OPEN
) -> tuple[str, ...]:
    return caveats(spec, recording, summarise(recording, spec), around)


def test_a_clean_open_loop_has_no_warning() -> None:
    assert words() == ()


def test_a_clean_closed_loop_has_only_its_own() -> None:
    assert [word.split(":")[0] for word in words(spec=CLOSED)] == [
        "latency under a closed loop hides queueing"
    ]


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        (replace(QUIET, usage=usage(generator_cores=0.85)), "used 0.85 of the one core"),
        (replace(QUIET, usage=usage(generator_cores=1.7), workers=2), "used 1.70 of the 2 cores"),
        (replace(QUIET, usage=usage(other_cores=0.9)), "busy with other work: 0.9 of 8 cores"),
        (replace(QUIET, usage=usage(stolen_share=0.02)), "took 2.0% of the CPU time"),
        (replace(QUIET, usage=None), "could not be read"),
        (replace(QUIET, shared_cores=2), "share 2 of 8 cores"),
        (replace(QUIET, server_unseen=True), "server_pid"),
    ],
)
def test_each_trouble_of_the_machine_is_said_alone(around: Circumstances, expected: str) -> None:
    (word,) = words(around=around)
    assert expected in word


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        (
            replace(FINE, lag_us=np.full(4000, 101)),
            "sent late: 99th percentile 0.101 ms beside a median latency of 1 ms",
        ),
        (replace(FINE, held_back=9), "all 16 connections were busy for 9 of 4000"),
        (replace(FINE, arrivals=4300), "4300 requests were due in the window, 4000 were"),
        (replace(FINE, lost=2), "2 requests got lost"),
        (
            replace(
                FINE,
                failure_start_us=np.array([5]),
                failure_latency_us=np.array([9]),
                failure_kind=np.array([0]),
            ),
            "1 of 4001 requests failed",
        ),
    ],
)
def test_each_trouble_of_the_schedule_is_said_alone(recording: Recording, expected: str) -> None:
    (word,) = words(recording)
    assert expected in word


def test_few_samples_name_the_percentiles_that_they_do_not_state() -> None:
    few = replace(
        FINE, start_us=FINE.start_us[::50], latency_us=FINE.latency_us[::50], lag_us=FINE.lag_us[::50]
    )
    assert "few samples: 80 do not state p99 (needs 368)" in words(few, spec=CLOSED)[1]


def test_a_server_that_slows_down_is_said_to_drift() -> None:
    slowing = replace(FINE, start_us=(np.arange(4000) ** 0.5 * 120_000).astype(np.int64))
    assert any("throughput drifted" in word for word in words(slowing))


def test_a_percentile_that_nothing_bounds_is_told_with_how_long_it_would_take() -> None:
    latency_us = 1000 + np.random.default_rng(0).permutation(4000)
    latency_us[1000:1100] = 50_000 + np.arange(100)
    found = [word for word in words(replace(FINE, latency_us=latency_us)) if "upper bound" in word]
    word = found[-1]
    assert word.startswith("p99 has no upper bound: requests that share a queue depend on each other")
    assert "these 4000 are worth" in word
    assert "p99 needs 368, so measure" in word


def test_percentiles_without_a_bound_are_told_in_one_sentence() -> None:
    latency_us = np.where(FINE.start_us < 2_000_000, 10_000, 1000)  # one change: worth next to nothing
    (word,) = (word for word in words(replace(FINE, latency_us=latency_us)) if "upper bound" in word)
    assert word.startswith("p50")


def test_where_no_test_would_be_long_enough_it_is_not_told_how_long() -> None:
    drifting = replace(FINE, latency_us=1000 + np.arange(4000))  # worth a single request
    (word,) = (word for word in words(drifting) if "upper bound" in word)
    assert "p90 needs 36, so measure 36 times as long" in word
    assert word.endswith("p99 needs 368, so send less: no test would be long enough")
