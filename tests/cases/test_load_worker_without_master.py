"""`dyno load-worker` with an address at which no load test is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from modeldyno.base.process.procs import free_port, python_module


def test_a_worker_that_no_load_test_takes_gives_up_and_says_what_to_look_for(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = python_module("modeldyno", "load-worker", address, "--connect-timeout", "2", "--workers", "2")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 2
    assert f"no load test at {address} took 2 of 2 workers within 2 s: see whether `dyno load" in done.stderr
    assert not list(tmp_path.iterdir())
