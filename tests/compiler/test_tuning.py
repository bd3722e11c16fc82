"""Choosing kernels by measuring: what is written down, what is used again, what is never believed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tvm import tirx

from modeldyno.base.errors import ConfigError, OutputError, ParityError
from modeldyno.base.host.facts import host_facts
from modeldyno.base.process.interrupts import watched_interrupts
from modeldyno.compiler import Options, compile_model
from modeldyno.compiler.check import judgement
from modeldyno.compiler.kernels.choice import Choice, Workload, candidates, choose
from modeldyno.compiler.lower.legalize import legalize
from modeldyno.compiler.targets.catalog import host_target
from modeldyno.compiler.targets.machine import Machine
from modeldyno.compiler.tuning import candidate, decide, records
from modeldyno.compiler.tuning.builder import Builder
from modeldyno.compiler.tuning.measure import CandidateFailed, Kernel, Meter
from modeldyno.compiler.tuning.records import Records
from modeldyno.compiler.tuning.revision import KERNELS_REVISION
from modeldyno.compiler.tuning.search import Outcome, search
from modeldyno.compiler.tuning.tuner import by_time, describe, kernel_uses
from modeldyno.runtime.records.kernels import TuningFacts
from modeldyno.runtime.records.manifest import Manifest
from tests.compiler.models import conv_net, model, node, saved, tensor, weights

HOST = host_target(host_facts())
DENSE = Workload("dense", 1, (1, 4), (1, 4), 8, 24)
CONV = Workload("conv2d", 1, (12, 12), (12, 12), 16, 32, (3, 3), (1, 1), (1, 1, 1, 1))
TUNE_S = 6.0


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "records" / "tuning.jsonl"


def wide_net(side: int = 12) -> Any:
    """Make a model of one convolution that Winograd tiles fit: 16 channels to 32, over side x side pixels."""
    nodes = [node("Conv", "image w b", "c", pads=[1, 1, 1, 1], kernel_shape=[3, 3]), node("Relu", "c", "y")]
    values = [weights("w", 32, 16, 3, 3), weights("b", 32)]
    return model(nodes, [tensor("image", [1, 16, side, side])], [tensor("y", [1, 32, side, side])], values)


def no_warnings(text: str) -> None:
    raise AssertionError(text)


def two_convolutions() -> Any:
    """Make a model of two different kernels with many candidates each."""
    nodes = [
        node("Conv", "image w", "c", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Conv", "c v", "y", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    ]
    values = [weights("w", 32, 16, 3, 3), weights("v", 64, 32, 3, 3)]
    return model(nodes, [tensor("image", [1, 16, 12, 12])], [tensor("y", [1, 64, 12, 12])], values)


def write_choice(path: Path, workload: Workload, chosen: Choice, **changed: Any) -> None:
    """Put a record into a file as a search would; `changed` values go over it."""
    record = Records(None, HOST, no_warnings).new(
        workload=workload.record(),
        choice=chosen.record(),
        median_us=1.0,
        default_us=2.0,
        spread=0.0,
        rounds=9,
        tried=4,
        candidates=18,
        created_at="2026-01-01T00:00:00+00:00",
        cpu_model="a processor",
    )
    records.append_line(path, json.dumps({**record.model_dump(), **changed}))


def tuning_of(net: Any, tmp_path: Path, kept: Path, **options: Any) -> TuningFacts:
    manifest = compile_model(
        saved(tmp_path / "net.onnx", net), tmp_path / "out", options=Options(tuning_records=kept, **options)
    )
    return checked(manifest)


def checked(manifest: Manifest) -> TuningFacts:
    assert manifest.parity is not None
    assert manifest.parity.outputs[0].max_rel <= 1e-5
    assert manifest.tuning is not None
    return manifest.tuning


def test_what_one_compile_measures_the_next_one_uses(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    first = compile_model(
        saved(tmp_path / "net.onnx", conv_net()),
        tmp_path / "out",
        options=Options(tuning_records=kept, tune_s=40),  # more than it takes to try all
        on_tuning=told.append,
    )
    tuning = checked(first)
    assert (tuning.measured, tuning.from_records, tuning.default) == (2, 0, 0)
    assert any(line.startswith("kernel 1/2 conv2d 3x3 3->16 to 12x12: default ") for line in told)
    assert [stage.stage for stage in first.stages].count("tune") == 1
    latest = {json.loads(line)["workload"]["kind"]: line for line in kept.read_text().splitlines()}
    lines = [json.loads(line) for line in latest.values()]
    assert {line["workload"]["kind"] for line in lines} == {"conv2d", "dense"}
    for line in lines:
        assert line["target"]["cpu"] == HOST.cpu
        assert line["toolchain"]["kernels"] == KERNELS_REVISION
        assert line["tried"] == line["candidates"]
        assert 0 < line["median_us"] <= line["default_us"] < 1e4
        assert line["rounds"] >= decide.FEWEST_ROUNDS
    before = kept.read_bytes()
    monkeypatch.setattr(Meter, "sample", lambda *_: pytest.fail("measured again"))
    again = tuning_of(conv_net(), tmp_path, kept)
    assert (again.measured, again.from_records, again.default) == (0, 2, 0)
    assert again.faster == tuning.faster
    assert kept.read_bytes() == before


def test_without_records_every_choice_is_the_default_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    manifest = compile_model(saved(tmp_path / "net.onnx", conv_net()), tmp_path / "out")
    assert checked(manifest) == TuningFacts(measured=0, from_records=0, default=2)
    assert "tune" not in [stage.stage for stage in manifest.stages]
    assert "tune_s" not in manifest.options
    assert not (tmp_path / "cache").exists()


def test_records_lie_in_the_cache_folder_and_can_be_left_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = candidates(CONV, HOST.machine)[1]
    write_choice(tmp_path / "cache" / "modeldyno" / "tuning.jsonl", CONV, other)
    net = saved(tmp_path / "net.onnx", wide_net())
    used = checked(compile_model(net, tmp_path / "out"))
    assert (used.from_records, len(used.faster)) == (1, 1)
    assert (used.faster[0].kernel, used.faster[0].calls) == ("conv2d 3x3 16->32 to 12x12", 1)
    unused = checked(compile_model(net, tmp_path / "out", options=Options(reuse_tuning=False)))
    assert (unused.from_records, unused.default) == (0, 1)


@pytest.mark.parametrize("number", range(3))
def test_a_recorded_choice_is_what_the_kernel_becomes(tmp_path: Path, kept: Path, number: int) -> None:
    chosen = [choice for choice in candidates(CONV, HOST.machine) if choice.winograd is None][number]
    write_choice(kept, CONV, chosen)
    manifest = compile_model(
        saved(tmp_path / "net.onnx", wide_net()), tmp_path / "out", options=Options(tuning_records=kept)
    )
    inputs = [argument.shape for kernel in manifest.kernels for argument in kernel.inputs]
    packed = [shape for shape in inputs if len(shape) == 5]
    assert [shape[-1] for shape in packed] == [chosen.columns]


def test_a_damaged_line_is_ignored_with_a_warning_and_spoils_no_other(tmp_path: Path, kept: Path) -> None:
    other = candidates(CONV, HOST.machine)[1]
    write_choice(kept, CONV, other)
    whole = kept.read_bytes()
    kept.write_bytes(b'{"workload": 3}\n[]\n\xff\xfe\n' + whole + whole[: len(whole) // 2])
    write_choice(kept, DENSE, candidates(DENSE, HOST.machine)[1])
    warned: list[str] = []
    found = Records(kept, HOST, warned.append)
    assert warned == [f"tuning records {kept}: 4 damaged lines ignored"]
    assert found.find(CONV) is not None
    assert found.find(DENSE) is not None
    with pytest.warns(UserWarning, match="4 damaged lines ignored"):
        assert tuning_of(wide_net(), tmp_path, kept).from_records == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"target": {**records.target_key(HOST), "cpu": "znver9"}},
        {"target": {**records.target_key(HOST), "machine": {"lanes": 16, "registers": 64}}},
        {"toolchain": {**records.toolchain_key(), "apache-tvm": "0.26.0"}},
        {"toolchain": {**records.toolchain_key(), "kernels": "0"}},
    ],
    ids=["cpu", "machine", "tvm", "kernels"],
)
def test_a_record_of_another_target_or_toolchain_is_not_used(kept: Path, changed: dict[str, Any]) -> None:
    other = candidates(CONV, HOST.machine)[1]
    write_choice(kept, CONV, other, **changed)
    assert Records(kept, HOST, no_warnings).find(CONV) is None
    write_choice(kept, CONV, other)
    assert Records(kept, HOST, no_warnings).find(CONV) is not None


@pytest.mark.parametrize(
    "choice",
    [
        {"rows": 10**9, "columns": 16},
        {"rows": -1, "columns": 16},
        {"rows": "import os", "columns": []},
        {"rows": 1, "columns": 16, "winograd": {"side": 3}},
        {"tile": 4},
    ],
)
def test_a_choice_that_is_no_candidate_is_not_used(kept: Path, choice: dict[str, Any]) -> None:
    write_choice(kept, CONV, choose(CONV, HOST.machine), choice=choice)
    assert Records(kept, HOST, no_warnings).find(CONV) is None


def test_the_last_record_of_a_kernel_counts(kept: Path) -> None:
    first, second = candidates(CONV, HOST.machine)[1:3]
    write_choice(kept, CONV, first)
    write_choice(kept, CONV, second)
    record = Records(kept, HOST, no_warnings).find(CONV)
    assert record is not None
    assert Choice.from_record(record.choice) == second


def with_body(bad: Choice, body: Any) -> Any:
    """Make a `lower` that gives one choice's kernel another body."""

    def lower(workload: Workload, choice: Choice, target: Any) -> Any:
        kernel, arguments = candidate.lowered(workload, choice, target)
        if choice == bad:
            kernel = kernel.with_body(tirx.Evaluate(body))
        return kernel, arguments

    return lower


def calling(bad: Choice, function: str) -> Any:
    """Make a `lower` that puts a call of a C function in place of one choice's kernel."""
    return with_body(bad, tirx.call_extern("int32", function))


def searched(lower: Any, meter: Meter) -> Outcome:
    choices = candidates(DENSE, HOST.machine)[:4]
    builder = Builder(HOST, lower=lower)
    return search(DENSE, choices, time.monotonic() + 20, builder=builder, meter=meter)


@pytest.mark.parametrize(
    ("function", "limit_s", "reason"),
    [("abort", 60.0, "killed by signal 6"), ("pause", 1.5, "took longer than 1.5 s")],
    ids=["crash", "hang"],
)
def test_a_candidate_that_crashes_or_hangs_is_discarded(function: str, limit_s: float, reason: str) -> None:
    bad = candidates(DENSE, HOST.machine)[1]
    began = time.monotonic()
    with Meter(limit_s) as meter:
        outcome = searched(calling(bad, function), meter)
    assert time.monotonic() - began < 10  # where the limit does not work, a hang lasts for ever
    assert outcome.failed == [(bad, reason)]
    assert outcome.choice != bad
    assert outcome.tried == 4
    assert outcome.rounds >= decide.FEWEST_ROUNDS
    assert not psutil.Process().children()


def test_a_candidate_that_does_not_build_is_discarded() -> None:
    third = candidates(DENSE, HOST.machine)[2]

    def lower(workload: Workload, choice: Choice, target: Any) -> Any:
        if choice == third:
            raise ValueError("no such tile\nand more")
        return candidate.lowered(workload, choice, target)

    with Meter() as meter:
        assert searched(lower, meter).failed == [(third, "ValueError: no such tile")]


def test_a_candidate_that_has_no_machine_code_is_discarded_and_the_others_are_not() -> None:
    bad = candidates(DENSE, HOST.machine)[1]
    with Meter() as meter:
        outcome = searched(
            with_body(bad, tirx.call_extern("int32", "f", tirx.Var("nowhere", "int32"))), meter
        )
    assert [choice for choice, _ in outcome.failed] == [bad]
    assert outcome.tried == 4


def test_an_interrupt_inside_a_callback_of_tvm_is_no_failed_candidate() -> None:
    def interrupted(_workload: Workload, machine: Machine) -> Choice:
        signal.raise_signal(signal.SIGINT)
        return choose(DENSE, machine)

    def lower(workload: Workload, _choice: Choice, target: Any) -> Any:
        legalize(candidate.operator_module(workload), target.machine, chooser=interrupted)

    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with Meter() as meter, watched_interrupts() as interrupts:
            builder = Builder(HOST, lower=lower, interrupts=interrupts)
            choices = candidates(DENSE, HOST.machine)
            with pytest.raises(KeyboardInterrupt):
                search(DENSE, choices, time.monotonic() + 20, builder=builder, meter=meter)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, ours)


def test_a_default_that_crashes_ends_the_search_of_its_kernel() -> None:
    default = candidates(DENSE, HOST.machine)[0]
    with Meter() as meter, pytest.raises(CandidateFailed, match="signal 6"):
        searched(calling(default, "abort"), meter)


def test_a_slower_kernel_never_replaces_the_default() -> None:
    """The first candidate is the default, the others are the slowest that there are: one row a tile."""
    slow = [Choice(1, HOST.machine.lanes), Choice(2, HOST.machine.lanes)]
    large = Workload("dense", 1, (1, 64), (1, 64), 256, 256)
    default = choose(large, HOST.machine)
    with Meter() as meter:
        builder = Builder(HOST)
        outcome = search(large, [default, *slow], time.monotonic() + 20, builder=builder, meter=meter)
        swapped = search(large, [slow[0], default], time.monotonic() + 20, builder=builder, meter=meter)
    assert outcome.choice == default
    assert outcome.median_us == outcome.default_us
    assert swapped.choice == default
    assert swapped.median_us < swapped.default_us


def noisy(level: float, rounds: int = 31, noise: float = 0.05, seed: int = 0) -> list[float]:
    draw = np.random.default_rng(seed)
    return [level * (1 + each) for each in draw.uniform(-noise, noise, rounds)]


class Clock(Meter):
    """A meter that makes up the times: a level by kernel, and noise."""

    def __init__(self, levels: dict[str, float]) -> None:
        super().__init__()
        self._levels, self._draw = levels, np.random.default_rng(0)

    def sample(self, kernel: Kernel, calls: int = 1) -> float:
        assert calls >= 1
        return self._levels[kernel.function] * (1 + self._draw.uniform(-0.05, 0.05))


@pytest.mark.parametrize(("level", "wins"), [(80.0, True), (99.5, False), (120.0, False)])
def test_a_search_ends_with_the_default_unless_something_is_clearly_faster(level: float, wins: bool) -> None:
    choices = candidates(DENSE, HOST.machine)[:4]
    levels = {"kernel_0": 100.0, "kernel_1": 104.0, "kernel_2": level, "kernel_3": 300.0}
    with Clock(levels) as meter:
        outcome = search(DENSE, choices, time.monotonic() + 20, builder=Builder(HOST), meter=meter)
    assert outcome.choice == choices[2 if wins else 0]
    assert outcome.default_us == pytest.approx(100, rel=0.05)
    assert outcome.median_us == pytest.approx(level if wins else 100, rel=0.05)
    assert 0 < outcome.spread < 0.1 if wins else outcome.spread == 0


def test_only_a_clear_gain_replaces_the_default() -> None:
    default = noisy(100, seed=1)
    assert decide.replaces(noisy(80), default)
    assert decide.replaces(noisy(94, noise=0.01), noisy(100, noise=0.01, seed=1))
    assert not decide.replaces(noisy(99), default)
    assert not decide.replaces(noisy(98, noise=0.001), noisy(100, noise=0.001, seed=1))  # not worth it
    assert not decide.replaces(noisy(100), default)
    assert not decide.replaces(noisy(120), default)
    assert not decide.replaces(noisy(95, noise=0.5), noisy(100, noise=0.5, seed=1))  # lost in the noise
    assert not decide.replaces(noisy(50, rounds=3), noisy(100, rounds=3))  # too few rounds


def test_the_decision_is_by_pairs() -> None:
    """The machine slows down threefold half way: within each round the challenger is still a tenth faster."""
    drift = [1.0] * 10 + [3.0] * 11
    default = [100 * slow for slow in drift]
    assert decide.replaces([90 * slow for slow in drift], default)
    assert not decide.replaces([100 * slow for slow in drift], default)
    # Faster in the median but slower than the default in a third of the rounds: not sure enough.
    assert not decide.replaces([80.0] * 14 + [120.0] * 7, [100.0] * 21)


def test_the_better_half_goes_on_best_first() -> None:
    default = [10.0, 20.0, 10.0]
    times = {"slow": [30.0, 60.0, 30.0], "fast": [5.0, 10.0, 5.0], "same": [10.0, 20.0, 10.0]}
    assert decide.better_half(times, default) == ["fast", "same"]
    assert decide.better_half({"slow": times["slow"]}, default) == ["slow"]
    assert decide.better_half({}, default) == []


def test_a_second_tuning_goes_on_where_the_first_one_stopped(tmp_path: Path, kept: Path) -> None:
    best = candidates(CONV, HOST.machine)[2]
    write_choice(kept, CONV, best, tried=4, candidates=len(candidates(CONV, HOST.machine)))
    tuning_of(wide_net(), tmp_path, kept, tune_s=TUNE_S)
    tried = [json.loads(line)["tried"] for line in kept.read_text().splitlines()]
    assert tried[0] == 4
    assert tried[-1] > 4
    assert tried == sorted(tried)


@pytest.mark.timed
def test_the_budget_is_kept(tmp_path: Path, kept: Path) -> None:
    manifest = compile_model(
        saved(tmp_path / "net.onnx", wide_net()),
        tmp_path / "out",
        options=Options(tuning_records=kept, tune_s=TUNE_S),
    )
    (seconds,) = [stage.seconds for stage in manifest.stages if stage.stage == "tune"]
    assert seconds < TUNE_S * 1.1 + 1.5  # a build that is under way is not broken off


def test_a_budget_too_small_for_one_kernel_measures_none(tmp_path: Path, kept: Path) -> None:
    tuning = tuning_of(conv_net(), tmp_path, kept, tune_s=0.3)
    assert (tuning.measured, tuning.default) == (0, 2)
    assert kept.read_bytes() == b""


def test_nothing_is_measured_for_a_processor_that_is_not_here(tmp_path: Path) -> None:
    foreign = "neoverse-v2" if HOST.architecture == "x86_64" else "znver5"
    with pytest.raises(ConfigError, match=f"can't run code for {foreign}"):
        compile_model(
            saved(tmp_path / "net.onnx", conv_net()),
            tmp_path / "out",
            target=foreign,
            options=Options(tune_s=1, tuning_records=tmp_path / "kept"),
        )


def test_records_that_cannot_be_written_are_told_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="`tuning_records` sets another place"):
        tuning_of(conv_net(), tmp_path, tmp_path / "file" / "kept", tune_s=60)


def test_tuned_kernels_that_break_parity_are_left_out_with_a_warning(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both are within a few roundings: the tolerance alone is to decide.
    monkeypatch.setattr(judgement, "STEPS", 0)
    small = replace(CONV, image=(5, 5), out=(5, 5))
    default, *others = candidates(small, HOST.machine)
    inexact = next(choice for choice in others if choice.winograd is not None and choice.winograd.side == 4)
    assert default.winograd is None
    write_choice(kept, small, inexact)
    net = saved(tmp_path / "net.onnx", wide_net(5))

    def compiled(**options: Any) -> tuple[float, TuningFacts | None]:
        manifest = compile_model(net, tmp_path / "out", options=Options(tuning_records=kept, **options))
        assert manifest.parity is not None
        return manifest.parity.outputs[0].max_rel, manifest.tuning

    exact, _ = compiled(reuse_tuning=False)
    far, tuning = compiled()
    assert tuning is not None
    assert tuning.from_records == 1
    assert far > 1.5 * exact
    with pytest.warns(UserWarning, match="Compiled again without them"):
        again = compiled(tolerance=(exact + far) / 2)
    assert again == (exact, TuningFacts(measured=0, from_records=0, default=1))
    with pytest.raises(ParityError), pytest.warns(UserWarning, match="Compiled again"):
        compiled(tolerance=-1.0)  # which nothing meets


def test_kernels_are_counted_and_taken_by_their_share_of_time() -> None:
    small = Workload("dense", 1, (1, 1), (1, 1), 64, 64)
    machine = HOST.machine
    assert kernel_uses(candidate.operator_module(CONV), machine) == {CONV: 1}
    assert kernel_uses(candidate.operator_module(DENSE), machine) == {DENSE: 1}
    uses: Any = {small: 2, CONV: 1}
    assert by_time(uses, machine) == [CONV, small]
    uses[small] = 10**6
    assert by_time(uses, machine) == [small, CONV]
    assert describe(small) == "dense 64->64 of 1 rows"


def test_ctrl_c_keeps_what_was_measured_and_ends_the_measuring_process(tmp_path: Path, kept: Path) -> None:
    net = saved(tmp_path / "net.onnx", two_convolutions())
    command = [sys.executable, "-m", "modeldyno", "compile", str(net), "-o", str(tmp_path / "out")]
    command += ["--tune", "300", "--tuning-records", str(kept)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # With this much time the first kernel is done with all its candidates; the second one has begun.
        for line in process.stderr:
            if "  kernel 1/2 " in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert len(kept.read_text().splitlines()) == 1
    assert children
    assert not any(child.is_running() for child in children)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "records"]


def test_the_command_tells_what_was_tuned(tmp_path: Path, kept: Path) -> None:
    write_choice(kept, CONV, candidates(CONV, HOST.machine)[1])
    net = saved(tmp_path / "net.onnx", wide_net())
    command = [sys.executable, "-m", "modeldyno", "compile", str(net), "-o", str(tmp_path / "out")]
    command += ["--tuning-records", str(kept)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "kernels: 0 measured now, 1 from records, 0 not measured; 1 faster than by default" in text
    assert ["conv2d", "3x3", "16->32", "to", "12x12", "1", "2.0", "1.0", "0.50"] in [
        line.split() for line in text.splitlines()
    ]
    both = subprocess.run([*command, "--no-tuning-records"], capture_output=True, text=True, check=False)
    assert both.returncode == 2
    assert "go against each other" in both.stderr


@pytest.mark.parametrize("options", [Options(tune_s=1.0), Options(tuning_records=Path("records.jsonl"))])
def test_what_has_no_effect_for_a_gpu_is_refused(tmp_path: Path, options: Options) -> None:
    with pytest.raises(ConfigError, match=r"is for processors: cuda-sm_80 .*: leave it out"):
        compile_model(
            saved(tmp_path / "net.onnx", wide_net()), tmp_path / "out", target="cuda-sm_80", options=options
        )
    assert not (tmp_path / "out").exists()
