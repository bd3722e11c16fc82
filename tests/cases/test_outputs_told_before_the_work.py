"""Outputs of `dyno load` that can't be written."""

from __future__ import annotations

import subprocess
from pathlib import Path

from modeldyno.base.process.procs import python_module
from tests.loadgen.stub import stub_server
from tests.loadgen.test_start import load


def test_an_output_that_is_a_folder_is_told_before_the_test(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = load(tmp_path, "--duration", "600", "-o", "folder")
    assert done.returncode == 2
    assert "Invalid value for '--output' / '-o': folder: this is a folder" in done.stderr


def test_a_full_stdout_keeps_the_file_and_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text("{}")
    with stub_server(tmp_path) as server:
        options = ("--payload", "body.json", "--warmup", "0", "--duration", "1", "-o", "result.json")
        command = python_module("modeldyno", "load", server.url, *options)
        done = subprocess.run(
            ["/bin/sh", "-c", '"$@" > /dev/full', "sh", *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=120,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: cannot write to stdout: No space left on device"
    assert "Traceback" not in done.stderr
    assert (tmp_path / "result.json").exists()
