"""What the commands print for a person: messages and progress to stderr, results to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import click


def say(message: str) -> None:
    """Tell the user what is going on (stderr, so that stdout stays clean for results).

    Where nobody can be told (a full disk, a reader that has gone), the work goes on.
    """
    with suppress(OSError):
        click.echo(message, err=True)


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
