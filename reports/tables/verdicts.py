"""What the ranking says of each row, in words."""

from __future__ import annotations

from modeldyno.base.records.run import Row
from modeldyno.reports.certainty import cheaper
from modeldyno.reports.naming import distinct, types_open
from modeldyno.reports.results.run_folder import Run


def verdict(run: Run, row: Row) -> str:
    """Say how a row stands to the best one, or why it does not stand in the ranking."""
    if not row.valid:
        return "not ranked: its load test is void"
    if row.rank is None:
        return "rejected"
    told = _told(run, row)
    return f"{told}; less sure: {row.weak[0]}" if row.weak else told


def _told(run: Run, row: Row) -> str:
    machines = distinct(run, [one for one in run.recommendation.ranking if one.valid])
    best = machines[0]
    tied = [one for one in machines if one is best or one.tied_with_best]
    if run.measured_key(row) == run.measured_key(best) and row is not best:
        return f"the same machine here as {best.instance_type}"
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
        return f"costs {cheaper(row.against_best, row.against_best_low, row.against_best_high)} than the best"
    return "costs more than the best"
