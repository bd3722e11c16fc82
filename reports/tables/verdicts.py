"""What the ranking says of each row, in words."""

from __future__ import annotations

from modeldyno.base.records.run import Row
from modeldyno.reports.certainty import cheaper
from modeldyno.reports.naming import alike, distinct, types_open
from modeldyno.reports.results.run_folder import Run


def verdict(run: Run, row: Row) -> str:
    """Say how a row stands to the best one, or why it does not stand in the ranking."""
    if not row.valid:
        return "not ranked: its load test is void"
    if row.rank is None:
        return "rejected"
    if other := same_as(run, row):
        return f"the same machine here as {other}, at another price"
    told = _told(run, row, distinct(run, [one for one in run.recommendation.ranking if one.valid]))
    return f"{told}; less sure: {row.weak[0]}" if row.weak else told


def same_as(run: Run, row: Row) -> str:
    """Give the instance type of the first row that is the same machine here; empty for that row itself."""
    first = next((one for one in alike(run, row)), row)
    return "" if first is row else first.instance_type


def _told(run: Run, row: Row, machines: list[Row]) -> str:
    best = machines[0]
    tied = [one for one in machines if one is best or one.tied_with_best]
    if row is best and len(tied) == 1:
        shape = run.same_machine(row)
        return (
            f"cheapest shape, {shape.name}; which type is projected"
            if types_open(run, row) and shape
            else "cheapest"
        )
    if row is best or row.tied_with_best:
        return "not told apart from the best"
    if row.against_best is not None:
        low, high = row.against_best_low, row.against_best_high
        return f"costs {cheaper(row.against_best, low, high, 'the best')}"
    return "costs more than the best"
