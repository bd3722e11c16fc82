"""What candidates are ranked by: the contract of an objective."""

from __future__ import annotations

from typing import Protocol

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.run import Row


class Objective(Protocol):
    """A number by which one candidate is better than another; the lowest is the best."""

    def value(self, row: Row) -> float:
        """The row's number, infinite where it has none."""

    def interval(self, row: Row) -> tuple[float, float]:
        """The 95 % confidence interval of the number; an unknown end is 0 or infinite."""

    def gain(self, point: LoadResult) -> float:
        """How good one load level of a candidate is beside its others; the highest is the best."""
