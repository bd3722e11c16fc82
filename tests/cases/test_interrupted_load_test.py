"""Ctrl-C and SIGTERM while `dyno load` runs: what was measured is kept, and marked."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from modeldyno.base.process.procs import python_module
from modeldyno.base.records.load import LoadResult, RateSearch
from modeldyno.base.records.record import read_record
from tests.loadgen.stub import stub_server

WAIT_S = 120
NEVER_ENDS = ("--warmup", "0.3", "--duration", "600")


@dataclass(frozen=True)
class Started:
    """A `dyno load` under way, with its output in files."""

    process: subprocess.Popen[bytes]
    folder: Path

    def told(self, name: str = "stderr") -> str:
        return (self.folder / name).read_text()

    def wait_for(self, words: str) -> None:
        end_s = time.monotonic() + WAIT_S
        while words not in self.told():
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < end_s, self.told()
            time.sleep(0.05)

    def end_by(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def started(folder: Path, *args: str, server: tuple[str, ...] = ("--service-ms", "5")) -> Iterator[Started]:
    (folder / "tmp").mkdir()
    (folder / "body.json").write_text("{}")
    with (
        stub_server(folder, *server) as stub,
        (folder / "stdout").open("wb") as out,
        (folder / "stderr").open("wb") as err,
    ):
        command = python_module("modeldyno", "load", stub.url, "--payload", str(folder / "body.json"), *args)
        env = {**os.environ, "TMPDIR": str(folder / "tmp")}
        with subprocess.Popen(command, stdout=out, stderr=err, env=env) as process:
            try:
                yield Started(process, folder)
            finally:
                process.kill()


@pytest.mark.parametrize(
    ("number", "by", "code", "load"),
    [
        pytest.param(signal.SIGINT, "Ctrl-C", 130, ("--rate", "50"), id="open"),
        pytest.param(signal.SIGTERM, "SIGTERM", 143, ("--rate", "50", "--workers", "2"), id="workers"),
        pytest.param(signal.SIGTERM, "SIGTERM", 143, ("--users", "2"), id="closed"),
        pytest.param(
            signal.SIGINT, "Ctrl-C", 130, ("--users", "2", "--workers", "2"), id="closed-workers",
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_what_was_measured_is_summed_up_printed_and_written(
    tmp_path: Path, number: signal.Signals, by: str, code: int, load: tuple[str, ...]
) -> None:
    output, samples = tmp_path / "result.json", tmp_path / "samples.csv"
    kept = ("-o", str(output), "--samples", str(samples))
    with started(tmp_path, *load, *NEVER_ENDS, *kept) as run:
        run.wait_for("measuring")
        assert run.end_by(number) == code
    found = read_record(output, LoadResult)
    assert found.cut_short == by
    assert found.stop is not None
    assert (found.stop.rule, found.stop.why) == ("interrupted", by)
    assert found.samples > 0
    assert found.window_s < 600
    assert not any("never came to an end" in reason for reason in found.invalid_reasons)
    inside = [row for row in csv.DictReader(samples.read_text().splitlines()) if row["in_window"] == "True"]
    assert len(inside) == found.samples + found.errors
    assert f"CUT SHORT   by {by}" in run.told("stdout")
    assert any(f"{by} ended the test before its time" in warning for warning in found.warnings)
    assert run.told().endswith("interrupted\n" if code == 130 else "terminated\n")
    assert not list((tmp_path / "tmp").iterdir())


def test_stages_that_were_begun_are_kept(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    stairs = ("--stairs", "steps=20,users=1,seconds=2", "--warmup", "0", "-o", str(output))
    with started(tmp_path, *stairs) as run:
        run.wait_for("2 users")
        assert run.end_by(signal.SIGINT) == 130
    found = read_record(output, LoadResult)
    assert found.cut_short == "Ctrl-C"
    assert 1 <= len(found.stages) < 20
    assert found.stages[0].samples > 0


def test_answers_that_do_not_come_are_not_waited_for_and_told(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    load = ("--users", "4", "--timeout", "3000", "--warmup", "0.3", "--duration", "60", "-o", str(output))
    # After forty requests nothing is answered any more.
    server = ("--service-ms", "100", "--cycle", ",".join(["ok"] * 40 + ["hang"] * 1000))
    with started(tmp_path, *load, server=server) as run:
        run.wait_for("measuring: 0.0 req/s")
        assert run.end_by(signal.SIGTERM) == 143
    found = read_record(output, LoadResult)
    assert found.samples > 0
    assert any(
        "requests of the window had no end when the test was cut short" in one for one in found.warnings
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_before_the_window_nothing_was_measured_and_nothing_is_written(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    output = tmp_path / "result.json"
    with started(tmp_path, "--rate", "20", "--warmup", "600", "-o", str(output)) as run:
        run.wait_for("warming up")
        assert run.end_by(number) == code
    assert "in its warm-up: nothing was measured" in run.told()
    assert run.told("stdout") == ""
    assert not output.exists()
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.slow
def test_a_search_tells_what_it_has_decided(tmp_path: Path) -> None:
    output = tmp_path / "search.json"
    search = ("--find-rate", "--limit", "p99_ms=5000", "--rate", "20", "-o", str(output))
    with started(tmp_path, *search, "--warmup", "0.2", "--duration", "0.5") as run:
        run.wait_for(" req/s: ")
        assert run.end_by(signal.SIGTERM) == 143
    found = read_record(output, RateSearch)
    assert found.steps
    assert not found.confirmed
    assert "SIGTERM" in found.undecided or "ended while it waited" in found.undecided
    assert "not decided: " in run.told("stdout")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("option", ["-o", "--samples"])
def test_a_result_whose_file_can_no_longer_be_written_is_printed_all_the_same(
    tmp_path: Path, option: str
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    with started(tmp_path, "--rate", "20", *NEVER_ENDS, option, str(folder / "kept.csv")) as run:
        run.wait_for("measuring")
        folder.rmdir()
        folder.write_text("in the way")
        assert run.end_by(signal.SIGTERM) == 2
    assert "CUT SHORT   by SIGTERM" in run.told("stdout")
    assert f"error: cannot write {folder / 'kept.csv'}" in run.told()
