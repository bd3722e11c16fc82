from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import read_record, write_record
from modeldyno.trials.compare.blocks import Block, pairs_of
from modeldyno.trials.compare.latencies import binned, decoded, encoded
from modeldyno.trials.compare.records import BlockRecord, block_of, block_record
from tests.trials.made import BUSY, block


def test_bins_are_exact_below_2048_us_and_their_middle_above() -> None:
    assert binned([2047, 1, 0]).tolist() == [1, 1, 2047]
    # From 2,048 on a bin is 2 us wide, from 4,096 on 4 us: 4,097 lies in 4,096 to 4,099.
    assert binned([2048, 2049, 4097]).tolist() == [2049, 2049, 4098]


def test_bins_are_those_of_the_histogram() -> None:
    values = np.random.default_rng(0).integers(1, 3_600_000_000, 2000)
    values = np.concatenate([values, 2 ** np.arange(31), 2 ** np.arange(1, 31) - 1])
    assert decoded(encoded(values)).tolist() == binned(values).tolist()


def test_a_block_comes_back_from_disk_to_the_last_bit(tmp_path: Path) -> None:
    made = replace(block("b", 3, (900, 5003, 40_001), seconds=0.25, cpu_s=0.125, readings=BUSY), errors=2)
    write_record(tmp_path / "block.json", block_record(made))
    back = block_of(read_record(tmp_path / "block.json", BlockRecord))
    assert back.latency_us.tolist() == made.latency_us.tolist()
    for field in fields(Block):
        if field.name != "latency_us":
            assert getattr(back, field.name) == getattr(made, field.name)


def test_a_spoiled_histogram_is_a_wrong_value(tmp_path: Path) -> None:
    record = block_record(block("a"))
    (tmp_path / "block.json").write_text(record.model_dump_json().replace(record.latency, "HISTOGRAM"))
    with pytest.raises(ConfigError, match="latency"):
        read_record(tmp_path / "block.json", BlockRecord)


def test_a_pair_is_of_one_round_and_needs_answers_of_both() -> None:
    blocks = [
        block("b", 0),
        block("c", 0),
        block("a", 0),
        block("a", 1),
        block("b", 2),
        replace(block("a", 2), latency_us=binned([])),
        block("a", 3),
        block("b", 3),
    ]
    pairs = pairs_of(blocks, "a", "b")
    assert [(pair.number, pair.baseline.candidate, pair.candidate.candidate) for pair in pairs] == [
        (0, "a", "b"),
        (3, "a", "b"),
    ]
