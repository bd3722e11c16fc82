"""The `dyno` command as a user meets it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import click
import pytest

from modeldyno.base.command.cli import GROUP, SUMMARIES
from modeldyno.base.exit_codes import MEANINGS

HEAVY = {
    *("tvm", "tvm_ffi", "torch", "onnx", "onnxruntime", "pandas", "matplotlib"),
    *("locust", "gevent", "numpy", "pydantic", "rich", "yaml"),
}
POINTS = {point.name: point for point in entry_points(group=GROUP)}

# A command of its own for each way to end; `base.command.cli` finds it as it finds any other.
ENDINGS = """
import atexit, signal, sys
import click, modeldyno.base.command.cli as cli
from modeldyno.base.errors import CompileError, ConfigError
from modeldyno.base.process.interrupts import interrupted_by_sigterm

@click.command("probe")
@click.argument("how")
def probe(how):
    if how == "config": raise ConfigError("job.yaml:3: unknown key 'thread'; nearest: threads")
    if how == "compile": raise CompileError("no rule for op Foo", stage="legalize", target="host")
    if how == "ctrl-c": raise KeyboardInterrupt
    if how == "in-exec": exec("raise KeyboardInterrupt")
    if how == "at-exit": atexit.register(signal.raise_signal, signal.SIGINT)
    if how == "sigterm":
        with interrupted_by_sigterm(): signal.raise_signal(signal.SIGTERM)
    if how == "abort": raise click.Abort
    if how == "bug": raise AssertionError("a bug")
    if how == "no": click.get_current_context().exit(1)
    if how == "seven": return 7
    if how == "endless":
        while True: click.echo("line")

class Point:
    name = "probe"
    def load(self): return probe

cli.entry_points = lambda group: [Point()]
cli.main()
"""


def dyno(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modeldyno", *args], capture_output=True, text=True, check=False
    )


def ending(how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ENDINGS, "probe", how]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_lists_every_command_with_its_summary_in_order() -> None:
    done = dyno("--help")
    assert done.returncode == 0
    commands = done.stdout.partition("Commands:")[2].partition("Exit codes:")[0]
    listed = [line.split()[0] for line in commands.splitlines() if line.strip()]
    assert listed == list(SUMMARIES)
    words = " ".join(done.stdout.split())
    assert all(f"{name} {summary}" in words for name, summary in SUMMARIES.items())


def test_help_loads_nothing_heavy_and_no_room() -> None:
    code = (
        "import sys; from modeldyno.base.command.cli import dyno\n"
        "dyno(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    loaded = {name.removeprefix("modeldyno.").partition(".")[0] for name in modules}
    rooms = {"runtime", "compiler", "serving", "loadgen", "trials", "recommender", "reports"}
    assert "click" in loaded
    assert loaded & (HEAVY | rooms) == set()


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_summary_is_the_short_help_of_the_command(name: str) -> None:
    command = _load(POINTS[name])
    assert command.name == name
    assert command.get_short_help_str(limit=200) == SUMMARIES[name]


@pytest.mark.parametrize("name", SUMMARIES)
def test_loading_a_command_loads_nothing_heavy(name: str) -> None:
    _load(POINTS[name])
    code = f"import sys, {POINTS[name].module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {module.partition(".")[0] for module in done.stdout.split()} & HEAVY == set()


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_option_of_a_command_has_a_help_text(name: str) -> None:
    options = [each for each in _load(POINTS[name]).params if isinstance(each, click.Option)]
    assert [option.name for option in options if not option.help] == []


def _load(point: EntryPoint) -> click.Command:
    """Skip a command whose room is not there yet; any other failure is one."""
    try:
        command = point.load()
    except ModuleNotFoundError as error:
        if error.name != point.module:
            raise
        pytest.skip(f"{point.module} is not there")
    assert isinstance(command, click.Command)
    return command


def test_the_commands_of_the_installation_are_those_of_the_help() -> None:
    assert set(POINTS) == set(SUMMARIES)


def test_an_unknown_command_names_the_nearest_and_exits_2() -> None:
    done = dyno("instnces")
    assert done.returncode == 2
    assert "unknown command 'instnces'; nearest: instances, inspect (see dyno --help)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_exits_2_with_a_hint() -> None:
    done = dyno("doctor", "--jsn")
    assert done.returncode == 2
    assert "--json" in done.stderr


def test_the_version_is_that_of_the_distribution() -> None:
    assert dyno("--version").stdout == f"dyno, version {version('modeldyno')}\n"


def test_an_error_that_the_user_can_act_on_is_one_message_and_exit_2() -> None:
    done = ending("config")
    assert done.stderr == "error: job.yaml:3: unknown key 'thread'; nearest: threads\n"
    assert (done.stdout, done.returncode) == ("", 2)
    assert ending("compile").stderr == "error: no rule for op Foo\n"


def test_an_interrupt_in_executed_text_exits_130_and_not_by_the_signal(tmp_path: Path) -> None:
    (tmp_path / "probe_command.py").write_text(ENDINGS)
    command = [sys.executable, "-m", "probe_command", "probe", "in-exec"]  # as `python -m modeldyno` starts
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stderr.strip(), done.returncode) == ("interrupted", 130)


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_one_table_of_exit_codes_is_in_the_help_and_in_the_docs(page: str) -> None:
    rows = [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    assert "\n".join(rows) in (Path(__file__).parents[2] / page).read_text()
    told = " ".join(dyno("--help").stdout.split())
    assert " ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()) in told


def test_an_interrupt_after_the_work_is_done_changes_nothing() -> None:
    done = ending("at-exit")
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_bug_traces_back() -> None:
    done = ending("bug")
    assert done.returncode == 2  # 1 would say that the answer is no
    assert "AssertionError: a bug" in done.stderr
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("how", ["ctrl-c", "abort"])
def test_an_interrupt_exits_130_without_a_traceback(how: str) -> None:
    done = ending(how)
    assert (done.stderr.strip(), done.returncode) == ("interrupted", 130)


def test_sigterm_exits_143_where_it_is_handled() -> None:
    done = ending("sigterm")
    assert (done.stderr.strip(), done.returncode) == ("terminated", 143)


def test_the_exit_code_of_a_command_is_that_of_the_process() -> None:
    assert [ending(how).returncode for how in ("fine", "no", "seven")] == [0, 1, 7]


def test_a_reader_that_leaves_early_ends_the_command_quietly() -> None:
    command = [sys.executable, "-c", ENDINGS, "probe", "endless"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b"line\n"
        child.stdout.close()
        try:
            assert child.wait(10) == 0
        finally:
            child.kill()
        assert child.stderr.read() == b""


def test_a_real_interrupt_while_a_command_works_exits_130(tmp_path: Path) -> None:
    code = ENDINGS.replace('click.echo("line")', 'click.echo("line"); __import__("time").sleep(60)')
    command = [sys.executable, "-c", code, "probe", "endless"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        try:
            assert child.wait(10) == 130
        finally:
            child.kill()


@pytest.mark.parametrize("name", SUMMARIES)
def test_help_has_an_example_and_says_the_exit_codes(name: str) -> None:
    text = _load(POINTS[name]).get_help(click.Context(_load(POINTS[name]), info_name=name))
    assert "Exit codes: 0 " in text
    example = text.partition("Example:\n")[2].splitlines()[0].split()
    assert example[:2] == ["dyno", name]
    options = {option for each in _load(POINTS[name]).params for option in each.opts}
    assert {word for word in example if word.startswith("-")} <= options
