"""The tape of the gate's benchmark: what is written is read, and gates are played from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate import kernels, record
from benchmarks.gate.__main__ import NAMES, main
from benchmarks.gate.peers import RULES
from benchmarks.gate.replay import NEVER, Game, disjoint, draws, play, scaled
from benchmarks.gate.tape import (
    SIDES,
    Segment,
    TapeEpoch,
    epochs,
    read_segment,
    segments,
    taint_of,
    write_segment,
)
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler import compile_model
from modeldyno.gate.explain.kernels import kernel_changes
from modeldyno.trials.compare.blocks import Block, Readings
from modeldyno.trials.compare.latencies import binned
from modeldyno.trials.compare.taint import TaintLimits
from tests.recommender.tiny import write_model

ROUNDS = 28


def segment(number: int, *, rounds: int = ROUNDS, busy: tuple[int, ...] = ()) -> Segment:
    """Two epochs of two services that do not differ."""
    rng = np.random.default_rng(number)
    blocks = []
    for epoch in (0, 1):
        for round_ in range(rounds):
            machine = np.exp(0.03 * rng.standard_normal())
            for position, side in enumerate(rng.permutation(SIDES)):
                latency_us = 1000 * (1 + 9 * epoch) * machine * np.exp(0.05 * rng.standard_normal(40))
                blocks.append(
                    Block(
                        candidate=str(side),
                        round=1000 * epoch + round_,
                        epoch=epoch,
                        position=position,
                        start_s=epoch * 20 + 0.56 * round_ + 0.28 * position,
                        seconds=float(latency_us.sum()) / 1e6,
                        latency_us=binned(np.rint(latency_us)),
                        cpu_s=None if position else 0.5,
                        readings=Readings(foreign_cpu=0.5 if round_ in busy else 0.0, generator_lag_ms=0.25),
                    )
                )
    head = {
        "host": host_facts().model_dump(mode="json"),
        "services": {"1 ms": 10, "10 ms": 100},
        "service_of": ["1 ms", "10 ms"],
        "foreign": False,
        "taint": {name: taint_of(TaintLimits()) for name in ("1 ms", "10 ms")},
    }
    return Segment(head, tuple(blocks))


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tape")
    for number in range(6):
        write_segment(folder / f"{number}.tape.xz", segment(number))
    return folder


def test_a_segment_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = segment(0, busy=(3,))
    write_segment(tmp_path / "x.tape.xz", made)
    again = read_segment(tmp_path / "x.tape.xz")
    assert again.head == made.head
    assert again.host == host_facts()
    for ours, theirs in zip(made.blocks, again.blocks, strict=True):
        assert np.array_equal(ours.latency_us, theirs.latency_us)
        plain = [
            {name: each for name, each in vars(block).items() if name not in ("latency_us", "p50_us")}
            for block in (ours, theirs)
        ]
        assert plain[0] == plain[1]
    one = epochs([("x", again)], "1 ms")
    assert [(len(epoch.pairs), epoch.tainted) for epoch in one] == [(ROUNDS, frozenset((3,)))]
    assert [epoch.pairs[0].number for epoch in epochs([("x", again)], "10 ms")] == [1000]


def of_tape(tape: Path, service: str = "1 ms") -> list[TapeEpoch]:
    return epochs(segments(tape), service)


def test_gates_of_the_tape_pass_where_nothing_differs_and_find_what_is_injected(tape: Path) -> None:
    found = of_tape(tape)
    assert [play(*drawn, Game()).verdict for drawn in draws(found, 5, 10, 0)] == ["pass"] * 10
    slow = [play(*drawn, Game(slower=1.06)) for drawn in draws(found, 5, 10, 0)]
    assert {each.verdict for each in slow} == {"regression"}
    assert all(each.seconds <= 27 for each in slow)
    assert {play(*drawn, Game()).verdict for drawn in disjoint(found)} == {"pass"}
    better = play(*next(draws(found, 5, 1, 0)), Game(slower=0.9, limit=NEVER))
    assert better.verdict == "improvement"


def test_swapping_an_epoch_turns_its_sign(tape: Path) -> None:
    found = of_tape(tape)[:1]
    slower = [
        TapeEpoch(each.service, each.segment, each.foreign, pairs, each.tainted)
        for each in found
        for pairs in [
            tuple(type(pair)(pair.number, pair.baseline, scaled(pair.candidate, 1.2)) for pair in each.pairs)
        ]
    ]
    assert play(slower, [False], Game()).verdict == "regression"
    assert play(slower, [True], Game()).verdict == "improvement"


def test_rules_of_the_field(tape: Path) -> None:
    one, other = np.full(100, 1000.0), np.full(100, 1200.0)
    said = {name: (rule(one, one), rule(one, other)) for name, rule in RULES.items()}
    assert {name for name, (_, worse) in said.items() if not worse} == {"github-action-benchmark's 200 %"}
    assert not any(same for same, _ in said.values())


def test_rows_are_played_and_written(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "alarms,levels,found,sizes,peers,tails"
    main(["--tape", str(tape), "--only", rows, "--tries", "10", "--json", str(tmp_path / "rows.json")])
    document = json.loads((tmp_path / "rows.json").read_text())
    assert document["epochs"] == {"1 ms": 6, "10 ms": 6}
    assert {row["share"] for row in document["alarms"]} == {0}
    assert "about" in capsys.readouterr().err


def test_an_unknown_row_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "alarm"])
    assert f"unknown row 'alarm'; there are: {', '.join(NAMES)}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tape_of_twenty_seconds_is_recorded(tmp_path: Path) -> None:
    record.main(["--minutes", "0.4", "--epoch-s", "4", "--foreign", "--folder", str(tmp_path)])
    (name, made), *more = segments(tmp_path)
    assert not more
    assert name.endswith("-foreign.tape.xz")
    assert made.head["foreign"]
    assert set(made.head["service_of"]) == {"1 ms", "10 ms"}
    first = epochs([(name, made)], "1 ms")[0]
    assert len(first.pairs) >= 3
    assert {block.epoch for block in made.blocks} == set(range(len(made.head["service_of"])))


@pytest.mark.slow
def test_a_kernel_that_is_called_again_is_named(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny.onnx")
    compile_model(tmp_path / "tiny.onnx", tmp_path / "artifact")
    plain = kernels._profile(tmp_path / "artifact", tmp_path)
    name = plain.kernels[0].name
    more = kernels._profile(tmp_path / "artifact", tmp_path, "--kernel", name, "--longer-ms", "3")
    assert more.total_p50_ms - plain.total_p50_ms > 2.5
    first = kernel_changes(plain, more)[0]
    assert first.name == name
    assert first.share > 0.8
