from __future__ import annotations

from pathlib import Path

import numpy as np

from modeldyno.trials.compare.taint import TaintLimits
from modeldyno.trials.selection.ledger import Ledger, blocks_in
from tests.trials.selection.made import rounds


def opened(path: Path, measured: str = "this") -> Ledger:
    found = Ledger(path, measured)
    found.open()
    return found


def test_blocks_come_back_to_the_last_bit_with_the_limits_they_were_judged_by(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "rounds.jsonl")
    limits = TaintLimits(foreign_cpu=0.125)
    ledger.fix_limits(limits)
    blocks = rounds({"a@1": 1000.0, "b@1": 2000.0}, 3)
    for block in blocks[:4]:
        ledger.add("screening", block)
    for block in blocks[4:]:
        ledger.add("finals", block)

    again = opened(tmp_path / "rounds.jsonl")
    assert again.taint == limits
    assert [len(again.blocks["screening"]), len(again.blocks["finals"])] == [4, 2]
    for before, after in zip(blocks, again.all, strict=True):
        assert np.array_equal(before.latency_us, after.latency_us)
        assert (before.seconds, before.cpu_s, before.round) == (after.seconds, after.cpu_s, after.round)
    assert (again.next_round, again.next_epoch) == (3, 1)


def test_a_line_that_was_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    ledger = opened(path)
    for block in rounds({"a@1": 1000.0}, 2):
        ledger.add("screening", block)
    with path.open("a") as stream:
        stream.write('{"stage": "screening", "block": {"cand')
    assert blocks_in(path) == 2
    again = opened(path)
    again.add("screening", rounds({"a@1": 1000.0}, 1, first=2)[0])
    assert [block.round for block in opened(path).blocks["screening"]] == [0, 1, 2]


def test_blocks_of_another_selection_are_not_gone_on_with(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "rounds.jsonl")
    ledger.add("screening", rounds({"a@1": 1000.0}, 1)[0])
    assert opened(tmp_path / "rounds.jsonl", "that").all == []
    assert blocks_in(tmp_path / "rounds.jsonl") == 0


def test_a_file_that_is_no_ledger_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    path.write_text("something else\n")
    assert opened(path).all == []
