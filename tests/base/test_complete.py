"""What the shell is offered, asked as bash asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modeldyno.base.command.cli import SUMMARIES

ASK = "import sys; sys.argv = ['dyno']; from modeldyno.base.command.cli import main; main()"


def offered(*words: str, cwd: Path | None = None, code: str = ASK) -> list[str]:
    """The last word is begun."""
    env = {**os.environ, "COMP_WORDS": " ".join(("dyno", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"_DYNO_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_are_offered_without_importing_any() -> None:
    assert offered("lo") == ["load", "load-worker"]
    assert set(SUMMARIES) <= set(offered(""))
    code = ASK.replace(
        "main()", "import atexit; atexit.register(lambda: print(*sys.modules, sep='\\n')); main()"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "COMP_WORDS": "dyno lo", "COMP_CWORD": "1", "_DYNO_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout.split()
    assert not {"modeldyno.loadgen", "modeldyno.compiler", "modeldyno.trials"} & set(loaded)


def test_options_are_offered_by_their_names_of_today() -> None:
    assert offered("load", "http://h", "--follow") == ["--follow-redirects"]
    assert "--workers" not in offered("load", "http://h", "--")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("instances", "c7g.2"), ["c7g.2xlarge"]),
        (("targets", "neoverse-v"), ["neoverse-v1", "neoverse-v2"]),
        (("compile", "m.onnx", "--target", "ho"), ["host"]),
        (("docs", "load"), ["load-result"]),
    ],
)
def test_names_are_offered(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_job_files_and_models_are_offered_and_folders_that_may_lead_to_some(tmp_path: Path) -> None:
    for name in ("job.yaml", "other.yml", "notes.txt", "net.onnx", ".hidden.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "deep.yaml").write_text("")
    assert offered("recommend", "net.onnx", "--job", "jo", cwd=tmp_path) == ["job.yaml", "jobs/"]
    assert offered("recommend", "net.onnx", "--job", "jobs/", cwd=tmp_path) == ["jobs/deep.yaml"]
    assert offered("recommend", "n", cwd=tmp_path) == ["net.onnx"]
    # Where there are none, the shell offers whatever files there are.
    assert offered("recommend", "net.onnx", "--job", "note", cwd=tmp_path) == ["note"]
