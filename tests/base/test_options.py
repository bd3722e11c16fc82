"""The options of every command: what users have typed goes on to work."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from modeldyno.base.command.cli import GROUP, SUMMARIES
from modeldyno.base.command.reference import page

GOLDEN = Path(__file__).parents[1] / "golden" / "options.txt"
POINTS = {point.name: point for point in entry_points(group=GROUP)}


def options(name: str) -> list[str]:
    """One line for each option of a command: its names, how it is given, its default."""
    command: click.Command = POINTS[name].load()
    return [
        " ".join([name, *option.opts, *_how(option)])
        for option in command.params
        if isinstance(option, click.Option)
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
