"""What the commands print for a person: messages and progress to stderr, results to stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click


def say(message: str) -> None:
    """Tell the user what is going on (stderr, so that stdout stays clean for results)."""
    click.echo(message, err=True)


def print_json(value: Any) -> None:
    """Print a result for machines."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` are set flush right. Never truncates a cell."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    widths = [len(column) for column in columns]
    for row in rows:
        table.add_row(*row)
        widths = [max(width, len(cell)) for width, cell in zip(widths, row, strict=True)]
    console = Console(highlight=False)
    wide = sum(widths) + 3 * len(widths)
    Console(highlight=False, width=max(console.width, wide)).print(table)
