from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from modeldyno.base.records.load import LoadResult, Percentile
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.stats.hdr import encode_histogram
from modeldyno.loadgen.stats.recording import FailureKind, Ints, Recording
from modeldyno.loadgen.stats.summary import percentiles, summarise

SPEC = LoadSpec(url="http://host/invocations", users=1, warmup_s=1.0, duration_s=2.0)


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def recording(start_us: Ints, latency_us: Ints, failures: tuple[Ints, Ints] = (ints(), ints())) -> Recording:
    return Recording(
        start_us=start_us,
        latency_us=latency_us,
        lag_us=np.zeros_like(start_us),
        failure_start_us=failures[0],
        failure_latency_us=np.ones_like(failures[0]),
        failure_kind=failures[1],
        kinds=(FailureKind(500, "status", "boom"), FailureKind(None, "timeout", "late")),
    )


def test_the_window_is_by_start_for_latency_and_by_end_for_throughput() -> None:
    # Each request lasts 0.2 s; the window is 1 to 3 s.
    starts = ints(900_000, 950_000, 1_000_000, 2_000_000, 2_900_000, 3_000_000)
    taken = recording(starts, np.full(6, 200_000))
    summary = summarise(taken, SPEC)
    assert summary.samples == 3
    # Ends at 1.1, 1.15, 1.2 and 2.2 s are in it, those at 3.1 and 3.2 s are not.
    assert summary.completed == 4
    assert summary.throughput_rps.value == 2.0


def test_mean_least_and_most_are_of_the_samples_themselves() -> None:
    summary = summarise(recording(ints(1_000_000, 1_100_000), ints(1_001, 3_003)), SPEC)
    assert (summary.mean_ms, summary.min_ms, summary.max_ms) == (2.002, 1.001, 3.003)
    assert summary.lateness_p99_ms is None


def test_errors_are_grouped_by_kind_the_most_frequent_first() -> None:
    failures = (ints(0, 1_500_000, 1_600_000, 1_700_000, 3_000_000), ints(0, 0, 1, 1, 1))
    summary = summarise(recording(ints(1_000_000), ints(10), failures), SPEC)
    assert [(group.status, group.message, group.count) for group in summary.error_groups] == [
        (None, "late", 2),
        (500, "boom", 1),
    ]
    assert (summary.errors, summary.error_rate) == (3, 0.75)


def test_each_second_is_told_with_the_warm_up_marked() -> None:
    starts = ints(100_000, 1_200_000, 1_300_000, 2_999_999, 3_000_000)
    taken = recording(starts, ints(1000, 2000, 4000, 8000, 9000), (ints(1_500_000), ints(0)))
    points = summarise(taken, SPEC).timeline
    assert [(p.second, p.requests, p.errors, p.p50_ms, p.p99_ms, p.warmup) for p in points] == [
        (0, 1, 0, 1.0, 1.0, True),
        (1, 3, 1, 2.0, 4.0, False),
        (2, 1, 0, 8.0, 8.0, False),
    ]


def test_a_percentile_of_1_to_1000_and_its_interval() -> None:
    # Ranks for p99 of 1000: P(B <= 983) = 2.1 % and P(B <= 995) = 97.1 %, P(B <= 996) = 99.0 %.
    latency_us = np.random.default_rng(0).permutation(1000) + 1
    by_percent = {entry.percentile: entry for entry in percentiles(np.arange(1000), latency_us)}
    assert by_percent[50.0].ms == 0.5
    assert (by_percent[50.0].low_ms, by_percent[50.0].high_ms) == pytest.approx((0.469, 0.532), abs=0.01)
    assert 700 < (by_percent[50.0].effective_samples or 0) <= 1000
    assert by_percent[99.0].ms == 0.99
    assert by_percent[99.9] == Percentile(percentile=99.9, ms=None, low_ms=None, high_ms=None)


def test_too_few_samples_state_no_percentile() -> None:
    for samples, stated in ((0, 0), (5, 0), (6, 1), (36, 2), (71, 2), (72, 3), (367, 3), (368, 4), (3688, 5)):
        entries = percentiles(np.arange(samples), np.arange(samples) + 1)
        assert sum(entry.ms is not None for entry in entries) == stated, samples


def test_a_slow_patch_leaves_the_upper_end_open() -> None:
    # 1000 requests, the 30 slow ones one after the other: a single event does not bound a 99th percentile.
    latency_us = np.full(1000, 1000)
    latency_us[400:430] = 50_000 + np.arange(30)
    entry = percentiles(np.arange(1000), latency_us)[3]
    assert entry.ms == pytest.approx(50.019)
    assert entry.high_ms is None
    # Started in another order they say more; it is that order that counts, not the list's.
    shuffled = np.random.default_rng(3).permutation(1000)
    assert percentiles(shuffled, latency_us)[3].high_ms is not None
    assert percentiles(shuffled, latency_us[shuffled])[3].high_ms is None


@pytest.mark.parametrize("scale_us", [30, 3_000, 300_000, 30_000_000])
def test_the_histogram_agrees_with_numpy_to_a_thousandth(scale_us: int) -> None:
    values = np.random.default_rng(1).lognormal(0, 1, 20_000) * scale_us
    latency_us = np.clip(values.astype(np.int64), 1, 3600 * 10**6)
    histogram = HdrHistogram.decode(encode_histogram(latency_us))
    assert histogram.get_total_count() == 20_000
    ordered = np.sort(latency_us)
    for permille in (10, 500, 900, 990, 999, 1000):
        exact = ordered[20 * permille - 1]
        found = histogram.get_value_at_percentile(permille / 10)
        assert found == pytest.approx(exact, rel=1e-3, abs=0.5), permille


def test_the_histogram_is_what_recording_each_value_gives() -> None:
    latency_us = np.random.default_rng(2).integers(1, 10**7, 2_000)
    one_by_one = HdrHistogram(1, 3600 * 10**6, 3)
    for value in latency_us.tolist():
        one_by_one.record_value(value)
    assert encode_histogram(latency_us) == one_by_one.encode().decode()


def test_an_empty_histogram_can_be_read_back() -> None:
    assert HdrHistogram.decode(encode_histogram(ints())).get_total_count() == 0


def test_each_number_of_a_result_is_on_the_page_of_formulas() -> None:
    page = (Path(__file__).parents[2] / "docs" / "load-result.md").read_text(encoding="utf-8")
    told = {name for name in LoadResult.model_fields if name in page}
    assert LoadResult.model_fields.keys() - told == {"schema_version", "started_at", "host"}
