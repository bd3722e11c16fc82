"""Recordings of several processes put together: by hand."""

from __future__ import annotations

from itertools import chain, islice

import numpy as np
from hdrh.histogram import HdrHistogram

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.spec.arrivals import poisson_arrivals
from modeldyno.loadgen.stats.hdr import encode_histogram
from modeldyno.loadgen.stats.merge import merged
from modeldyno.loadgen.stats.recording import FailureKind, Ints, Recorder, Recording
from modeldyno.loadgen.stats.summary import summarise

SPEC = LoadSpec(url="http://x/", rate_rps=100.0, warmup_s=0.0, duration_s=10.0)
BUSY, BAD = FailureKind(503, "status", "full"), FailureKind(400, "status", "bad")


def recorded(starts_ms: list[int], failures: list[FailureKind]) -> Recording:
    recorder = Recorder(0.0, 10.0)
    for start_ms in starts_ms:
        recorder.begin(start_ms * 1_000_000)
        recorder.succeed(start_ms * 1_000_000, (start_ms + 10 + start_ms % 7) * 1_000_000, lag_ns=50_000)
    for kind in failures:
        recorder.begin(0)
        recorder.fail(0, 5_000_000, kind, lag_ns=2_000_000)
    return recorder.recording(users=2)


def test_parts_give_the_numbers_of_a_lone_process_that_sent_all() -> None:
    starts = list(range(0, 9000, 20))
    lone = recorded(starts, [BUSY, BAD, BAD, BUSY])
    parts = [recorded(starts[::2], [BUSY]), recorded(starts[1::2], [BAD, BAD, BUSY])]
    together, alone = summarise(merged(parts), SPEC), summarise(lone, SPEC)
    assert together.percentiles == alone.percentiles
    assert together.histogram == alone.histogram
    assert together.throughput_rps == alone.throughput_rps
    assert together.error_groups == alone.error_groups
    assert together.lateness == alone.lateness
    assert together.samples == 450


def test_failures_are_renumbered_by_what_they_are() -> None:
    whole = merged([recorded([], [BUSY]), recorded([], [BAD, BUSY])])
    assert [whole.kinds[number] for number in whole.failure_kind] == [BUSY, BAD, BUSY]
    assert whole.users == 4


def test_the_kinds_of_payload_stay_with_their_requests() -> None:
    parts = [Recorder(0.0, 10.0) for _ in range(2)]
    for kind, part in enumerate(parts):
        part.succeed(0, 1_000_000, payload_kind=kind)
        part.fail(0, 1_000_000, BUSY, payload_kind=1 - kind)
    whole = merged([part.recording(users=1) for part in parts])
    assert whole.payload_kind.tolist() == [0, 1]
    assert whole.failure_payload.tolist() == [1, 0]


def test_histograms_of_the_parts_add_up_to_that_of_the_whole() -> None:
    parts: list[Ints] = [np.arange(1, 5000, 7), np.arange(90, 100_000, 13)]
    total = HdrHistogram(1, 3_600_000_000, 3)
    for part in parts:
        total.decode_and_add(encode_histogram(part))
    assert total.encode().decode() == encode_histogram(np.concatenate(parts))


def test_a_schedule_dealt_out_is_the_schedule() -> None:
    dealt = [list(islice(poisson_arrivals(50.0, 3), share, 300, 3)) for share in range(3)]
    assert sorted(chain.from_iterable(dealt)) == list(islice(poisson_arrivals(50.0, 3), 300))
