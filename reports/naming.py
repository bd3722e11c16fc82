"""What a row is called: by its instance type, or by its shape where several types are one machine here."""

from __future__ import annotations

from collections.abc import Sequence

from modeldyno.base.records.run import Row
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text import phrases

MOST_TYPES = 3


def distinct(run: Run, rows: Sequence[Row]) -> list[Row]:
    """The first row of each machine: what is one machine here was measured once."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(run.measured_key(row), row)
    return list(found.values())


def alike(run: Run, row: Row) -> list[Row]:
    """The valid rows of the ranking that are the row's machine under other names, itself among them."""
    key = run.measured_key(row)
    return [one for one in run.recommendation.ranking if one.valid and run.measured_key(one) == key]


def types_open(run: Run, row: Row) -> tuple[str, ...]:
    """The row's instance types, where which of them is best is not decided; else nothing."""
    same = run.same_machine(row)
    if same is None or same.decided:
        return ()
    there = {one.instance_type for one in alike(run, row)}
    names = tuple(name for name in same.instance_types if name in there)
    return names if len(names) > 1 else ()


def short_name(run: Run, row: Row) -> str:
    """Shape or instance type, and backend; the settings too where other rows differ in nothing else."""
    rows = distinct(run, [one for one in run.recommendation.ranking if one.valid])
    others = [one for one in rows if (_place(run, one), one.backend) == (_place(run, row), row.backend)]
    settings = f" ({phrases.settings(row.settings)})" if len(others) > 1 else ""
    return f"{_place(run, row)} with {phrases.WITH_BACKEND.get(row.backend, row.backend)}{settings}"


def full_name(run: Run, row: Row) -> str:
    """As `short_name`, and which types the shape stands for."""
    names = types_open(run, row)
    return (
        f"{short_name(run, row)} ({types(names)}, which are one machine here)"
        if names
        else short_name(run, row)
    )


def types(names: Sequence[str]) -> str:
    """List instance types of which any may be meant: `a or b`, `a, b, c or 2 more`."""
    more = len(names) - MOST_TYPES
    listed = [*names[:MOST_TYPES], f"{more} more"] if more > 0 else list(names)
    return f"{', '.join(listed[:-1])} or {listed[-1]}" if len(listed) > 1 else listed[0]


def _place(run: Run, row: Row) -> str:
    same = run.same_machine(row)
    return same.name if same is not None and types_open(run, row) else row.instance_type
