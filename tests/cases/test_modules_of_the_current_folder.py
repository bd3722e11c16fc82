"""What a command starts takes no module from the folder that the command is called in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from modeldyno.base.process.procs import python_module
from tests.loadgen.stub import stub_server
from tests.rooms import ROOMS
from tests.serving import models
from tests.serving.helpers import serving


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules of the standard library's names that end whoever imports them."""
    folder = tmp_path / "trapped"
    folder.mkdir()
    for name in ("types", "json", "queue", "socket"):
        (folder / f"{name}.py").write_text("raise SystemExit('a module of the current folder was run')\n")
    monkeypatch.chdir(folder)
    return folder


def test_server_processes_start(trapped: Path, tmp_path: Path) -> None:
    with serving(models.matmul(tmp_path / "m.onnx"), tmp_path, "--processes", "2") as server:
        assert server.ask("GET", "/ping").status == 200


def test_a_load_test_runs(trapped: Path, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text("{}")
    with stub_server(tmp_path) as stub:
        flags = ("--payload", str(tmp_path / "body.json"), "--warmup", "0", "--duration", "0.5")
        command = python_module("modeldyno", "load", stub.url, *flags)
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_starts_a_module_but_by_the_one_function(room: str) -> None:
    root = Path(__file__).parents[2] / room
    starts = re.compile(r"sys\.executable,\s*\"-m\"")
    found = [path.name for path in root.rglob("*.py") if starts.search(path.read_text(encoding="utf-8"))]
    assert found == []
