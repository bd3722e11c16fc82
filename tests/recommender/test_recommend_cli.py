from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from modeldyno.base.command.cli import run
from modeldyno.base.errors import ServerError
from modeldyno.base.records.load import RateSearch
from modeldyno.base.records.run import Limits, Trial
from modeldyno.recommender.cli import exit_code
from tests.recommender.measured import instance, point, recommended, trial
from tests.recommender.tiny import FOREIGN, SMALLEST, processes_naming, write_model

JOB = {
    "candidates": {"backends": ["onnxruntime"], "instance_types": [SMALLEST], "workers": [1, 2]},
    "load": {"users": [1], "warmup_s": 0.2, "duration_s": 1.0, "max_duration_s": 3.0},
}
WAIT_S = 40.0


def write_job(folder: Path, **changed: object) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**JOB, **changed}))
    return path


def command(folder: Path, *extra: str) -> list[str]:
    model, job, output = folder / "m.onnx", folder / "job.yaml", folder / "run"
    return ["recommend", str(model), "--job", str(job), "--output", str(output), *extra]


# A run that signals itself inside the Popen of its load generator, and prints what is left when it says so.
INTERRUPTED_AT_FORK = """
import os, signal, subprocess, sys, time
from modeldyno.base.command.cli import main
from modeldyno.recommender import cli

started, said = [], cli.say

def say(text):
    print([pid for pid in started if os.path.exists(f"/proc/{{pid}}")])
    said(text)

class Popen(subprocess.Popen):
    def __init__(self, args, **options):
        super().__init__(args, **options)
        started.append(self.pid)
        if "locust" in args:
            print("interrupts itself")
            os.kill(os.getpid(), signal.{name})
            time.sleep(0.01)

cli.say, subprocess.Popen = say, Popen
main()
"""


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process of its own, which may be killed. Its Ctrl-C works even where ours is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "modeldyno", *command(folder)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: psutil.Process) -> bool:
    """Not ended; a zombie that the system's first process has not waited for has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def trials(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "run" / "trials").glob("*.json")}


def blocks(folder: Path) -> list[str]:
    """Lines of the blocks that were measured so far, whole ones only."""
    path = folder / "run" / "rounds.jsonl"
    text = path.read_text() if path.exists() else ""
    return [line for line in text[: text.rfind("\n") + 1].splitlines() if '"block"' in line]


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["dyno", *arguments])
    return run()


def test_a_killed_run_leaves_nothing_running_and_goes_on_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.onnx")
    write_job(tmp_path)
    with started(tmp_path) as process:
        # Blocks are being measured: both servers and the load generator live.
        wait_for(lambda: len(blocks(tmp_path)) >= 3 and len(descendants(process)) >= 3)
        children = descendants(process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert psutil.wait_procs(children, timeout=15)[1] == []
    assert not processes_naming(tmp_path)
    first = blocks(tmp_path)
    assert trials(tmp_path) == {}

    assert ran(monkeypatch, *command(tmp_path)) == 0
    told = capsys.readouterr()
    assert f"Kept from before: {len(first)} blocks" in told.err
    # What was measured stays to the letter, and what comes behind it is of new servers.
    assert blocks(tmp_path)[: len(first)] == first
    epochs = [json.loads(line)["block"]["epoch"] for line in blocks(tmp_path)]
    assert epochs[len(first)] > epochs[len(first) - 1]
    assert len(trials(tmp_path)) == 2
    assert str(tmp_path / "run" / "report.html") in told.out

    # Nothing is left to measure; only the limits are new, and nobody meets them.
    write_job(tmp_path, limits={"p50_ms": 1e-6})
    assert ran(monkeypatch, *command(tmp_path)) == 1
    told = capsys.readouterr()
    assert told.out.startswith("No configuration meets the limits")
    assert "ms > 1e-06 ms at 1 user" in told.out

    assert ran(monkeypatch, *command(tmp_path, "--json")) == 1
    assert json.loads(capsys.readouterr().out) == json.loads(
        (tmp_path / "run/recommendation.json").read_text()
    )
    assert not processes_naming(tmp_path / "run")


def test_a_run_killed_while_it_compiles_leaves_nothing_running(tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx")
    write_job(tmp_path, candidates={"backends": ["compiled"], "instance_types": [SMALLEST]})
    with started(tmp_path) as process:
        wait_for(lambda: any("compile" in child.cmdline() for child in descendants(process)))
        children = descendants(process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert psutil.wait_procs(children, timeout=15)[1] == []
    assert not processes_naming(tmp_path)
    assert not list(tmp_path.glob("run/**/manifest.json"))  # it was stopped, it did not just come to its end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_its_children_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    write_model(tmp_path / "m.onnx")
    write_job(tmp_path)
    with started(tmp_path) as process:
        wait_for(lambda: len(descendants(process)) >= 2)
        children = descendants(process)
        process.send_signal(number)
        told = process.communicate(timeout=WAIT_S)[1].decode()
        assert process.returncode == 128 + number
        assert [child for child in children if alive(child)] == []
    assert told.endswith(
        f"interrupted: all that was started is stopped; 0 finished trials are kept in {tmp_path / 'run'}; "
        "the same command goes on from there\n"
    )
    assert not processes_naming(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_interrupted_while_it_starts_a_child_stops_that_child_too(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_model(tmp_path / "m.onnx")
    write_job(tmp_path)
    code = INTERRUPTED_AT_FORK.format(name=number.name)
    done = subprocess.run(
        [sys.executable, "-c", code, *command(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.stdout == "interrupts itself\n[]\n"
    assert done.returncode == 128 + number
    assert "interrupted: all that was started is stopped; 0 finished trials" in done.stderr
    assert not processes_naming(tmp_path)


def broken_job(folder: Path) -> list[str]:
    (folder / "job.yaml").write_text("seed: 1\nload:\n  user: [1]\n")
    return command(folder)


def unknown_type(folder: Path) -> list[str]:
    write_job(folder, candidates={"instance_types": ["c7a.medum"]})
    return command(folder)


def no_model(folder: Path) -> list[str]:
    (folder / "m.onnx").unlink()
    return command(folder)


def empty_model(folder: Path) -> list[str]:
    (folder / "m.onnx").write_bytes(b"")
    return command(folder)


def cut_model(folder: Path) -> list[str]:
    path = folder / "m.onnx"
    path.write_bytes(path.read_bytes()[:-20])
    return command(folder)


def unknown_operator(folder: Path) -> list[str]:
    write_model(folder / "m.onnx", operator="Frobnicate")
    return command(folder)


def open_size(folder: Path) -> list[str]:
    write_model(folder / "m.onnx", open_size=True)
    return command(folder)


def wrong_shape_name(folder: Path) -> list[str]:
    write_job(folder, compile={"shapes": {"z": [1, 8]}})
    return command(folder)


def output_below_a_file(folder: Path) -> list[str]:
    (folder / "run").write_text("a file")
    return [*command(folder)[:-1], str(folder / "run" / "deeper")]


def test_an_output_that_can_not_be_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.onnx")
    write_job(tmp_path)
    assert ran(monkeypatch, *output_below_a_file(tmp_path)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "is no folder" in told.err


def output_in_use(folder: Path) -> list[str]:
    (folder / "run").mkdir()
    (folder / "run" / "notes.txt").touch()
    return command(folder)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (broken_job, "job.yaml:3: load.user: unknown key 'user'; nearest: users"),
        (unknown_type, "unknown instance type 'c7a.medum'; nearest: c7a.medium"),
        (no_model, "m.onnx"),
        (empty_model, "is empty"),
        (cut_model, "m.onnx"),
        (unknown_operator, "'Frobnicate'"),
        (open_size, "input 'x' has no fixed shape"),
        (wrong_shape_name, "no such input"),
        (output_in_use, "holds no run of dyno recommend"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prepare: Callable[[Path], list[str]],
    said: str,
) -> None:
    write_model(tmp_path / "m.onnx")
    write_job(tmp_path)
    arguments = prepare(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert ran(monkeypatch, *arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_in_which_nothing_could_be_measured_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.onnx")
    write_job(tmp_path, candidates={"backends": ["onnxruntime"], "instance_types": [FOREIGN]})
    assert ran(monkeypatch, *command(tmp_path)) == 2
    assert "nothing could be measured" in capsys.readouterr().err


def test_a_run_of_void_load_tests_alone_is_not_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.onnx")
    # One request in flight at a time, and another arrives now and then: void.
    load = {"rate_rps": [400], "max_in_flight": 1, "warmup_s": 0.2, "duration_s": 1.0, "rounds": 1}
    write_job(tmp_path, candidates={"backends": ["onnxruntime"], "instance_types": [SMALLEST]}, load=load)
    assert ran(monkeypatch, *command(tmp_path)) == 3
    assert "No configuration was measured validly: " in capsys.readouterr().out
    # Nor does a void test say that a limit is missed.
    write_job(
        tmp_path,
        candidates={"backends": ["onnxruntime"], "instance_types": [SMALLEST]},
        load=load,
        limits={"throughput_rps": 1e6},
    )
    assert ran(monkeypatch, *command(tmp_path)) == 3


LATE = {"invalid_reasons": ("requests were sent late",)}
VALID, VOID, MISSED = point(), point().model_copy(update=LATE), point(p99_ms=90, users=8)
MISSED_VOID, FEW = MISSED.model_copy(update=LATE), point(p99_ms=None, samples=9, users=2)


@pytest.mark.parametrize(
    ("trials", "code"),
    [
        ([trial(VOID), trial(VALID, on=instance("c6i.large"))], 0),
        ([trial(VOID, MISSED)], 3),
        ([trial(VOID), trial(MISSED, on=instance("c6i.large"))], 3),
        ([trial(MISSED)], 1),
        ([trial(MISSED), trial(failure="died", on=instance("c6i.large"))], 1),
        ([trial(MISSED_VOID)], 3),
        ([trial(MISSED, MISSED_VOID)], 3),
        ([trial(FEW)], 3),
        ([trial(FEW.model_copy(update={"error_rate": 0.5}))], 1),
    ],
)
def test_what_is_void_or_rests_on_too_few_samples_is_no_answer(trials: list[Trial], code: int) -> None:
    assert exit_code(recommended(trials, Limits(p99_ms=60)), Path("run")) == code


def test_a_run_whose_searches_are_void_is_not_decided_and_one_that_failed_is_no_measurement() -> None:
    undecided = RateSearch(url="", limits={}, met_rps=None, failed_rps=None, undecided="void", steps=())
    searched = trial(VOID).model_copy(update={"search": undecided})
    assert exit_code(recommended([searched], Limits(p99_ms=60)), Path("run")) == 3
    with pytest.raises(ServerError, match="nothing could be measured"):
        exit_code(recommended([trial(failure="died")], Limits()), Path("run"))


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.onnx", open_size=True)
    write_job(tmp_path, candidates={"backends": ["compiled"], "instance_types": [SMALLEST, FOREIGN]})
    before = sorted(tmp_path.rglob("*"))
    assert ran(monkeypatch, *command(tmp_path, "--dry-run", "--shape", "x=1..4,8")) == 0
    told = capsys.readouterr().out
    assert f"would measure: {SMALLEST} compiled 1x1\n" in told
    assert f"cannot run here: {FOREIGN} compiled 1x1: " in told
    assert "at most" in told
    assert ran(monkeypatch, *command(tmp_path, "--dry-run", "--shape", "x=1..4,8", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["to_measure"] == [f"{SMALLEST}_onnxruntime_t1_w1", f"{SMALLEST}_compiled_t1_w1"] or (
        found["to_measure"] == [f"{SMALLEST}_compiled_t1_w1", f"{SMALLEST}_onnxruntime_t1_w1"]
    )
    assert len(found["cannot_run_here"]) == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("x=4..1,8", "--shape x=4..1,8: expected NAME=SIZE,SIZE"),
        ("x", "--shape x: expected NAME=SIZE"),
        ("z=1", "--shape z: the model has no such input; its inputs are: x"),
    ],
)
def test_a_wrong_shape_flag_is_told_as_the_compile_command_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shape: str, said: str
) -> None:
    write_model(tmp_path / "m.onnx", open_size=True)
    write_job(tmp_path)
    assert ran(monkeypatch, *command(tmp_path, "--dry-run", "--shape", shape)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shape": {"z": [1]}}, "job.yaml:15: shape: --shape z: the model has no such input"),
        (
            {"compile": {"target": "znver"}, "candidates": {}},
            "job.yaml:3: compile.target: unknown target 'znver'",
        ),
        ({"candidates": {"instance_types": ["c7a.medum"]}}, "job.yaml:2: candidates.instance_types: unknown"),
        (
            {"shape": {"x": ["1..4", 8]}, "load": {"shape": {"x": [9, 8]}}},
            ": load.shape: load.shape: x: 9 is not among the sizes of `shape`, 1..4",
        ),
    ],
)
def test_what_only_the_model_shows_to_be_wrong_is_told_with_its_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, object],
    said: str,
) -> None:
    write_model(tmp_path / "m.onnx", open_size="shape" in changed)
    write_job(tmp_path, **changed)
    assert ran(monkeypatch, *command(tmp_path, "--dry-run")) == 2
    assert said in capsys.readouterr().err
