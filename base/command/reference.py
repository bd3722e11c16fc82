"""The options of all commands as Markdown, from the commands themselves.

`python -m modeldyno.base.command.reference docs/options.md` writes that page again; a test fails where it is
not what the commands say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from modeldyno.base.command.cli import SUMMARIES, dyno
from modeldyno.base.files import write_text

_HEAD = """# The options of each command

Made by `python -m modeldyno.base.command.reference docs/options.md` from the commands, whose `--help` says
the same. [commands.md](commands.md) has examples.
"""


def page() -> str:
    """Return the whole page."""
    context = click.Context(dyno, info_name="dyno")
    lines = (line for name in SUMMARIES for line in _command(name, context))
    return "\n".join([_HEAD, *lines])


def _command(name: str, parent: click.Context) -> Iterator[str]:
    command = dyno.get_command(parent, name)
    if command is None:
        return
    context = click.Context(command, info_name=name, parent=parent)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _options(command.commands[inner], context)
    else:
        yield from _options(command, parent)


def _options(command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=parent)
    yield f"## `{' '.join(command.get_usage(context).removeprefix('Usage: ').split())}`"
    yield ""
    yield command.get_short_help_str(limit=200)
    yield ""
    yield "| option | what it is |"
    yield "| --- | --- |"
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None:
            names, words = record
            yield f"| `{_escaped(names)}` | {_escaped(' '.join(words.split()))} |"
    yield ""


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), page())
