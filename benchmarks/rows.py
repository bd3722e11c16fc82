"""Rows of figures as a table: a column for each key, numbers with four digits."""

from __future__ import annotations

from typing import Any

from modeldyno.base.command.console import print_table


def print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows under a title; a key that a row lacks is an empty cell."""
    print(f"\n{title}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print_table(columns, [[_shown(row.get(key)) for key in columns] for row in rows], right=columns[1:])


def _shown(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
