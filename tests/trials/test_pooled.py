from __future__ import annotations

import numpy as np
import pytest

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.trials.compare.blocks import Block, Readings
from modeldyno.trials.compare.latencies import binned
from modeldyno.trials.compare.starts import Spread
from modeldyno.trials.rounds.pooled import Around, percentiles, pooled_result, throughput
from tests.trials.selection.made import rounds

SPEC = LoadSpec(url="http://127.0.0.1:1/invocations", users=1)
AROUND = Around("2026-01-01T00:00:00Z", memory_mib=100.0)


def test_the_result_is_that_of_all_blocks() -> None:
    blocks = rounds({"a@1": 1000.0}, 30)
    found = pooled_result(SPEC, blocks, AROUND)
    assert found.samples == 600
    assert found.window_s == pytest.approx(sum(block.seconds for block in blocks))
    assert found.throughput_rps.low < 1000 < found.throughput_rps.high
    assert found.percentile_ms(50.0) == pytest.approx(1.0, rel=0.1)
    assert found.percentile_ms(99.0) is not None
    assert found.percentile_ms(99.9) is None
    assert found.server is not None
    assert found.server.cpu_cores_mean == pytest.approx(1.0)
    assert found.valid


def test_a_few_disturbed_blocks_do_not_move_the_throughput() -> None:
    quiet = rounds({"a@1": 1000.0}, 30, noise=0.01)
    slow = [
        Block(b.candidate, b.round, 0, 0, b.start_s, 3 * b.seconds, b.latency_us * 3)
        if b.round % 6 == 0
        else b
        for b in quiet
    ]
    ours, theirs = throughput(quiet, AROUND), throughput(slow, AROUND)
    assert theirs.value == pytest.approx(ours.value, rel=0.08)
    assert theirs.low < ours.value < theirs.high


def test_what_starts_differ_by_widens_the_throughputs_interval() -> None:
    blocks = rounds({"a@1": 1000.0}, 30)
    wide = throughput(blocks, Around("", None, spread=Spread(0.05, 10), starts=2))
    narrow = throughput(blocks, AROUND)
    assert wide.value == narrow.value
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)


def test_one_block_alone_bounds_nothing() -> None:
    found = pooled_result(SPEC, rounds({"a@1": 1000.0}, 1), AROUND)
    assert found.throughput_rps.high == float("inf")
    assert not found.valid


def test_blocks_that_differ_make_percentiles_less_certain_than_so_many_requests_would() -> None:
    rng = np.random.default_rng(0)
    levels = np.exp(0.5 * rng.standard_normal(20))
    clumped = [
        Block("a@1", n, 0, 0, float(n), 1.0, binned((1000 * level * np.ones(100)).astype(int)))
        for n, level in enumerate(levels)
    ]
    mixed = np.concatenate([block.latency_us for block in clumped])
    rng.shuffle(mixed)
    spread = [
        Block("a@1", n, 0, 0, float(n), 1.0, np.sort(part)) for n, part in enumerate(np.split(mixed, 20))
    ]
    (ours, *_), (theirs, *_) = percentiles(clumped), percentiles(spread)
    assert ours.ms == theirs.ms
    assert ours.low_ms is not None
    assert ours.high_ms is not None
    assert theirs.low_ms is not None
    assert theirs.high_ms is not None
    assert ours.high_ms - ours.low_ms > 2 * (theirs.high_ms - theirs.low_ms)


def test_a_generator_that_was_late_in_most_blocks_voids_the_test() -> None:
    late = [
        Block(
            b.candidate,
            b.round,
            0,
            0,
            b.start_s,
            b.seconds,
            b.latency_us,
            readings=Readings(generator_lag_ms=9.0),
        )
        for b in rounds({"a@1": 1000.0}, 10)
    ]
    found = pooled_result(SPEC, late, AROUND)
    assert "late in 10 of 10 blocks" in found.invalid_reasons[0]
