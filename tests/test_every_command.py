"""Every command of the README on a small model: each step uses what the last one wrote."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from modeldyno.base.process.procs import python_module, start
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import read_record
from modeldyno.base.records.run import Recommendation
from tests.gate.show.junit_schema import outcomes
from tests.recommender.tiny import SIZE, SMALLEST, write_model

JOB = f"""
candidates: {{instance_types: [{SMALLEST}]}}
load: {{users: [1], warmup_s: 0.3, duration_s: 1, max_duration_s: 3}}
limits: {{p99_ms: 1000}}
"""


def dyno(folder: Path, *args: str) -> str:
    """Run one command in `folder`; its standard output."""
    command = [sys.executable, "-m", "modeldyno", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything up to the report, in one folder."""
    folder = tmp_path_factory.mktemp("steps")
    write_model(folder / "model.onnx")
    np.save(folder / "x.npy", np.ones((1, SIZE), "float32"))
    folder.joinpath("job.yaml").write_text(JOB)
    dyno(folder, "compile", "model.onnx", "-o", "artifact")
    dyno(folder, "run", "artifact", "--input", "x.npy", "-o", "outputs")
    serve = python_module(
        "modeldyno", "serve", str(folder / "artifact"), "--port", "0", "--port-file", str(folder / "port")
    )
    with start(serve, log=folder / "log") as child:
        port = _wait_for(folder / "port", child.returncode)
        dyno(folder, "load", f"http://127.0.0.1:{port}", "--duration", "1", "-o", "load.json")
    files = ("--junit", "junit.xml", "--markdown", "answer.md")
    printed = dyno(folder, "recommend", "model.onnx", "--job", "job.yaml", "-o", "runs", *files, "--csv", "-")
    folder.joinpath("table.csv").write_text(printed)
    return folder


def _wait_for(path: Path, returncode: object) -> str:
    assert callable(returncode)
    for _ in range(600):
        if path.exists():
            return path.read_text().strip()
        assert returncode() is None
        time.sleep(0.1)
    raise AssertionError("the server never told its port")


def test_run_saves_what_the_model_gives(steps: Path) -> None:
    assert np.load(steps / "outputs" / "y.npy").shape == (1, SIZE)


def test_load_writes_a_result_with_samples_and_the_usage_of_the_server(steps: Path) -> None:
    result = read_record(steps / "load.json", LoadResult)
    assert result.samples > 0
    assert result.errors == 0
    assert result.server is not None


def test_recommend_writes_its_result_for_other_programs(steps: Path) -> None:
    table = list(csv.DictReader(steps.joinpath("table.csv").read_text().splitlines()))
    assert {row["backend"] for row in table} == {"compiled", "onnxruntime"}
    assert len(outcomes(steps.joinpath("junit.xml").read_text())) == len(table) == 2
    assert steps.joinpath("answer.md").read_text().startswith("<!-- dyno recommend -->\n### ")


def test_recommend_ranks_the_compiled_artifact_and_the_baseline(steps: Path) -> None:
    found = read_record(steps / "runs" / "recommendation.json", Recommendation)
    assert {row.backend for row in found.ranking} == {"compiled", "onnxruntime"}
    assert [row.rank for row in found.ranking] == [1, 2]
    assert all(row.fidelity == "emulated" and row.samples > 0 for row in found.ranking)
    assert found.rejected == ()


def test_the_report_is_made_again_to_the_letter(steps: Path) -> None:
    before = (steps / "runs" / "report.html").read_bytes()
    (steps / "runs" / "report.html").unlink()
    dyno(steps, "report", "runs")
    assert (steps / "runs" / "report.html").read_bytes() == before


def test_the_lists_are_there_for_machines(steps: Path) -> None:
    assert json.loads(dyno(steps, "instances", SMALLEST, "--json"))
    assert json.loads(dyno(steps, "targets", "--json"))
    assert "findings" in json.loads(dyno(steps, "doctor", "--json"))


def test_nothing_is_left_running(steps: Path) -> None:
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if str(steps) in line]
