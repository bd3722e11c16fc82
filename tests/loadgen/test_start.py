"""The Locust processes of a load test: whose configuration and whose clock they go by, how long they wait."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from modeldyno.base.process.procs import free_port, python_module, start
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import read_record
from tests.loadgen.stub import stub_server

JUMP = """
import time
began, wall = time.monotonic(), time.time
time.time = lambda: wall() + (3600 if time.monotonic() - began > 4 else 0)
"""


def load(
    folder: Path, *args: str, env: dict[str, str] | None = None, server: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `dyno load` against a stub, from a folder of its own."""
    (folder / "body.json").write_text("{}")
    with stub_server(folder, *server) as stub:
        command = python_module("modeldyno", "load", stub.url, "--payload", str(folder / "body.json"), *args)
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=folder,
            env={**os.environ, **(env or {})},
        )


def test_a_wall_clock_that_is_set_forward_ends_no_worker(tmp_path: Path) -> None:
    (tmp_path / "jump").mkdir()
    (tmp_path / "jump" / "sitecustomize.py").write_text(JUMP)
    args = ("--workers", "2", "--rate", "40", "--warmup", "1", "--duration", "8", "-o", "result.json")
    done = load(tmp_path, *args, env={"PYTHONPATH": str(tmp_path / "jump")})
    assert done.returncode == 0, done.stderr
    found = read_record(tmp_path / "result.json", LoadResult)
    assert len(found.workers) == 2
    assert not any("ended or hung" in reason for reason in found.invalid_reasons)
    assert found.timeline[-1].requests > 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_worker_that_is_stopped_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "tmp").mkdir()
    command = python_module("modeldyno", "load-worker", f"127.0.0.1:{free_port()}")
    with start(command, log=tmp_path / "log", env={"TMPDIR": str(tmp_path / "tmp")}) as worker:
        end_s = time.monotonic() + 60
        while "1 worker for" not in worker.log_tail() and time.monotonic() < end_s:
            time.sleep(0.05)
        worker.process.send_signal(number)
        assert worker.process.wait(60) == code
    assert not list((tmp_path / "tmp").iterdir())


def test_a_load_test_whose_workers_never_come_says_how_many_did(tmp_path: Path) -> None:
    bind = ("--expect-workers", "2", "--master-bind", f"127.0.0.1:{free_port()}")
    done = load(tmp_path, "--users", "3", "--workers", "1", *bind, "--connect-timeout", "12")
    assert done.returncode == 2
    assert "1 of 3 workers have come" in done.stderr
    assert "after 12 s: start the others with `dyno load-worker`" in done.stderr
    assert done.stdout == ""


def test_a_bound_on_waiting_without_anybody_to_wait_for_is_refused(tmp_path: Path) -> None:
    done = load(tmp_path, "--connect-timeout", "5")
    assert done.returncode == 2
    assert "--connect-timeout is for the workers of --expect-workers" in done.stderr
