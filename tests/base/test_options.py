"""The options of every command: what users have typed goes on to work."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from modeldyno.base.command.cli import GROUP, SUMMARIES
from modeldyno.base.command.reference import page
from modeldyno.base.command.renamed import Renamed, RenamingCommand

GOLDEN = Path(__file__).parents[1] / "golden" / "options.txt"
POINTS = {point.name: point for point in entry_points(group=GROUP)}


def options(name: str) -> list[str]:
    """One line for each option of a command: its names, how it is given, its default; old names too."""
    command: click.Command = POINTS[name].load()
    return [
        " ".join([name, *names, *_how(option)])
        for option in command.params
        if isinstance(option, click.Option)
        for names in (option.opts, *([[option.old]] if isinstance(option, Renamed) else []))
    ]


def _how(option: click.Option) -> list[str]:
    if option.is_flag:
        return ["flag"]
    if option.required or option.multiple:
        return ["needed" if option.required else "many"]
    default = option.to_info_dict()["default"]
    return [
        "one",
        *([] if default is None else [f"{default:g}" if isinstance(default, float) else str(default)]),
    ]


@pytest.mark.parametrize("name", SUMMARIES)
def test_an_option_keeps_its_name_and_its_default(name: str) -> None:
    known = [line for line in GOLDEN.read_text(encoding="utf-8").splitlines() if line.split()[0] == name]
    assert set(known) - set(options(name)) == set()


def test_the_page_of_options_is_that_of_the_commands() -> None:
    written = (Path(__file__).parents[2] / "docs" / "options.md").read_text(encoding="utf-8")
    assert written == page(), "write it again: python -m modeldyno.base.command.reference docs/options.md"


# What one name means: a command that has another thing for it gives it another name.
MEANINGS = {
    "--workers": {"serve"},  # inferences side by side; processes that send are --load-workers
    "--load-workers": {"load", "load-worker"},
    "--limit": {"load"},  # what a test is held against; a table's rows are --top
    "--top": {"instances", "profile"},
    "--timeout": {"load"},  # of a client; a server's is --deadline-ms
    "--deadline-ms": {"serve"},
}


@pytest.mark.parametrize("flag", MEANINGS)
def test_a_name_that_had_several_meanings_has_one(flag: str) -> None:
    found = {name for name in POINTS for option in POINTS[name].load().params if flag in option.opts}
    assert found == MEANINGS[flag]


def test_old_names_work_and_say_what_the_option_is_called_now(capsys: pytest.CaptureFixture[str]) -> None:
    for name in SUMMARIES:
        command = POINTS[name].load()
        if any(isinstance(option, Renamed) for option in command.params):
            assert isinstance(command, RenamingCommand), name
    command = POINTS["serve"].load()
    args = ["m", "--timeout-ms=50", "--client-timeout-s", "2", "--model-name", "--", "x"]
    with pytest.raises(click.UsageError, match="unexpected extra argument"):
        command.make_context("serve", list(args))
    context = command.make_context("serve", args[:4])
    assert (context.params["timeout_ms"], context.params["client_timeout_s"]) == (50.0, 2.0)
    said = capsys.readouterr().err
    assert "--timeout-ms is called --deadline-ms now\n" in said
    assert "--client-timeout-s is called --client-timeout now\n" in said
    assert "--timeout-ms" not in command.get_help(context)
