"""What the commands print for a person: messages and progress to stderr, results to stdout."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import click

# What moves the cursor, rings, hides or turns text round: all of it but ends of lines and tabs.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_OWN_COLOURS = re.compile("(\x1b\\[(?:0|31|32|33)m)")


def harmless(text: str, *, coloured: bool = False) -> str:
    """Write what a terminal would obey as JSON escapes it: text may come from a server, or from a file.

    `coloured` text keeps red, green and yellow.
    """
    if not _CONTROL.search(text):
        return text
    if coloured:  # every second part is a colour
        parts = _OWN_COLOURS.split(text)
        return "".join(part if at % 2 else harmless(part) for at, part in enumerate(parts))
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """Make text of someone else's harmless and one line, so that it can't look like lines of ours."""
    return harmless(text).replace("\n", "\\n")


def say(message: str) -> None:
    """Tell the user what is going on (stderr, so that stdout stays clean for results).

    Where nobody can be told (a full disk, a reader that has gone), the work goes on.
    """
    with suppress(OSError):
        click.echo(harmless(message), err=True)


def print_json(value: Any) -> None:
    """Print a result for machines."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` are set flush right. Never truncates a cell."""
    cells = [[cell.replace("\n", " ") for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        placed = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        click.echo("  ".join(placed).rstrip())
