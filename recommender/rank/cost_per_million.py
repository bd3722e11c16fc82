"""The objective that counts money: dollars per million requests."""

from __future__ import annotations

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.run import Row

INFINITE = float("inf")


class CostPerMillion:
    """Cost per million requests, by the instance type's price an hour."""

    def value(self, row: Row) -> float:
        """Dollars per million requests; infinite where nothing was answered."""
        return INFINITE if row.usd_per_million is None else row.usd_per_million

    def interval(self, row: Row) -> tuple[float, float]:
        """From the cost at the highest throughput that is likely to that at the lowest."""
        low, high = row.usd_per_million_low, row.usd_per_million_high
        return (0.0 if low is None else low), (INFINITE if high is None else high)

    def gain(self, point: LoadResult) -> float:
        """Requests a second: a candidate has one price, so its fastest level is its cheapest."""
        return point.throughput_rps.value
