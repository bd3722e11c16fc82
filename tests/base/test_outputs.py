"""What can't be written is told before the work; a stdout that can't be written to is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from modeldyno.base.command.cli import dyno
from modeldyno.base.command.outputs import (
    OutputFile,
    check_one_on_stdout,
    why_no_file,
    why_no_folder,
)
from modeldyno.base.files import STDOUT, write_text
from modeldyno.base.records.load import LoadResult
from tests.base.test_cli import ENDINGS
from tests.loadgen.stub import stub_server
from tests.loadgen.test_cli import dyno_load


def test_a_file_can_be_written_where_a_new_one_or_a_device_may_be(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "not-yet" / "file")
    for name in ("new.json", "a/b/new.json", "there.json", "pipe", "link"):
        assert why_no_file(tmp_path / name) == ""
    assert why_no_file(Path("/dev/null")) == ""
    assert why_no_folder(tmp_path) == why_no_folder(tmp_path / "a" / "b") == ""


def test_what_is_in_the_way_of_an_output_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert (
        why_no_file(tmp_path / "folder") == "this is a folder, and a file is to be written: add a file's name"
    )
    assert why_no_file(tmp_path / "link") == why_no_file(tmp_path / "folder")
    assert why_no_file(tmp_path / "file" / "under") == f"{tmp_path / 'file'} is no folder"
    assert why_no_file(tmp_path / ("n" * 300)) == "File name too long"
    assert "circle" in why_no_file(tmp_path / "circle") or "levels" in why_no_file(tmp_path / "circle")
    assert why_no_folder(tmp_path / "file") == "this is no folder, and files are to be written into one"
    assert why_no_folder(tmp_path / "file" / "under") == f"{tmp_path / 'file'} is no folder"


def test_missing_rights_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "access", lambda *_: False)  # a superuser may do anything
    assert why_no_file(tmp_path / "pipe") == "it may not be written to"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no file from anybody")
def test_a_folder_that_takes_no_file_is_told_by_trying() -> None:
    told = "no file can be made in the folder /proc: "
    assert why_no_file(Path("/proc/new.json")).startswith(told)
    assert why_no_file(Path("/proc/a/b/new.json")).startswith(told)
    assert why_no_folder(Path("/proc")).startswith(told)


@pytest.mark.parametrize(
    "command",
    [
        ("load", "http://127.0.0.1:1", "-o", "{folder}"),
        ("load", "http://127.0.0.1:1", "--samples", "{file}/s.csv"),
        ("load", "http://127.0.0.1:1", "--find-rate", "--limit", "p99_ms=9", "-o", "{folder}"),
        ("run", "no-artifact", "-o", "{file}"),
        ("bundle", "no-artifact", "-o", "{folder}"),
        ("compile", "no-model", "-o", "{file}/artifact"),
        ("compile", "no-model", "-o", "new", "--dump-dir", "{file}"),
        ("compile", "no-model", "-o", "new", "--tuning-records", "{folder}"),
        ("report", "no-run", "-o", "{folder}"),
        ("serve", "no-model", "--port-file", "{folder}"),
    ],
)
def test_every_command_looks_at_its_outputs_first(tmp_path: Path, command: tuple[str, ...]) -> None:
    names = {"folder": str(tmp_path / "folder"), "file": str(tmp_path / "file")}
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(dyno, [part.format(**names) for part in command])
    assert done.exit_code == 2
    assert "Invalid value for" in done.output
    assert str(tmp_path) in done.output


def ended(how: str, redirected: str) -> subprocess.CompletedProcess[str]:
    """Run a command that prints, in a shell that redirects it."""
    code = ENDINGS.replace(
        'if how == "endless":', 'if how == "long": click.echo("x" * 1000000)\n    if how == "endless":'
    )
    shell = f'"$0" -c "$1" probe {how} {redirected}'
    command = ["bash", "-o", "pipefail", "-c", shell, sys.executable, code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("how", ["endless", "long"])
@pytest.mark.parametrize(
    ("redirected", "reason"), [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_a_stdout_that_takes_nothing_is_one_line_and_exit_2(how: str, redirected: str, reason: str) -> None:
    done = ended(how, redirected)
    assert (done.returncode, done.stderr) == (2, f"error: cannot write to stdout: {reason}\n")


def test_a_reader_that_has_gone_is_no_word_at_all() -> None:
    done = ended("long", "| head -c 5")
    assert (done.returncode, done.stdout, done.stderr) == (0, "xxxxx", "")


def test_where_nobody_can_be_told_the_work_goes_on() -> None:
    code = (
        'from modeldyno.base.command.console import say; [say("x" * 9000) for _ in range(9)]; print("done")'
    )
    command = ["bash", "-c", '"$0" -c "$1" 2> /dev/full', sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "done\n"


def test_two_results_on_standard_output_are_refused() -> None:
    assert check_one_on_stdout([STDOUT, None])
    assert not check_one_on_stdout([None, Path("x")], also=True)
    for paths, also in (([STDOUT, STDOUT], False), ([STDOUT], True)):
        with pytest.raises(click.UsageError, match="only one result"):
            check_one_on_stdout(paths, also=also)


@pytest.mark.parametrize(
    "command",
    [("run", "no-artifact"), ("compile", "no-model"), ("recommend", "no-model")],
)
def test_a_folder_is_not_written_to_stdout(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(dyno, [*command, "-o", "-"])
    assert done.exit_code == 2
    assert "a folder is written, and stdout takes a file: name a folder" in done.output


def test_a_minus_is_stdout_and_a_file_of_that_name_has_its_folder_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = OutputFile()
    assert kind.convert("-", None, None) == STDOUT
    write_text(kind.convert("-", None, None), "Ä\n")
    write_text(kind.convert("./-", None, None), "of a file")
    assert capfdbinary.readouterr().out == "Ä\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["-"]
    assert (tmp_path / "-").read_text() == "of a file"


def test_a_report_and_a_load_result_go_to_stdout_alone(tmp_path: Path) -> None:
    run = Path(__file__).parents[1] / "golden" / "run"
    page = subprocess.run(
        [sys.executable, "-m", "modeldyno", "report", str(run), "-o", "-"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=tmp_path,
    ).stdout
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    with stub_server(tmp_path) as server:
        (tmp_path / "body.bin").write_bytes(b"1234")
        few = ("--warmup", "0", "--duration", "0.5", "--payload", str(tmp_path / "body.bin"))
        done = dyno_load(server.url, *few, "-o", "-")
    assert LoadResult.model_validate_json(done.stdout).samples > 0
    assert done.returncode == 0
    assert not (tmp_path / "-").exists()
