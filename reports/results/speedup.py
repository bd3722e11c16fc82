"""How many times faster one candidate is than another, with an interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from modeldyno.base.records.levels import level_of
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import Row
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text import phrases

BASELINE = "onnxruntime"


@dataclass(frozen=True)
class Ratio:
    """A ratio of two throughputs with its 95 % confidence interval; `against` names the second's settings."""

    value: float
    low: float
    high: float
    against: str
    rounds: int = 0
    """That both were measured in, side by side; 0: one load test after another."""

    @property
    def tie(self) -> bool:
        """The interval holds 1: these measurements do not tell which is faster."""
        return self.low <= 1.0 <= self.high


def ratio(ours: Estimate, theirs: Estimate, against: str) -> Ratio | None:
    """Divide two independent throughputs; None when one of them is 0.

    The interval is MOVER on the log scale: ln low = ln ratio - sqrt(ln(a / a_low)² + ln(b_high / b)²), and so
    for the upper end (Zou & Donner 2008, "Construction of confidence limits about effect measures").
    """
    if ours.value <= 0 or theirs.value <= 0:
        return None
    value = ours.value / theirs.value
    below = math.hypot(_log_distance(ours.low, ours.value), _log_distance(theirs.value, theirs.high))
    above = math.hypot(_log_distance(ours.value, ours.high), _log_distance(theirs.low, theirs.value))
    return Ratio(value, value * math.exp(-below), value * math.exp(above), against)


def speedup(run: Run, row: Row) -> Ratio | None:
    """Compare a compiled row with ONNX Runtime on the same instance type under the same load.

    Where both took turns, by the rounds that they shared; else with the fastest that was measured; where each
    was searched for its highest rate, those rates are compared. None for the baseline itself, where a load
    test is void, and where there is nothing to compare with. It never contradicts the ranking: see `_agreed`.
    """
    found = _found(run, row)
    return None if found is None else _agreed(run, row, *found)


def rival(run: Run, row: Row) -> Row | None:
    """The baseline's row that `speedup` compares a compiled row with."""
    found = _found(run, row)
    return None if found is None else found[1]


Found = tuple[Ratio, Row] | None


def _found(run: Run, row: Row) -> Found:
    if row.backend == BASELINE or not row.valid:
        return None
    rows = [
        other
        for other in run.rows
        if other.backend == BASELINE and other.instance_type == row.instance_type and other.valid
    ]
    return (_of_searches if row.found_rate else _of_levels)(run, row, rows)


def _of_searches(_: Run, row: Row, rivals: list[Row]) -> Found:
    searched = [other for other in rivals if other.found_rate]
    if not searched:
        return None
    fastest = max(searched, key=lambda one: one.throughput_rps or 0.0)
    found = ratio(_rate(row), _rate(fastest), phrases.settings(fastest.settings))
    return (found, fastest) if found else None


def _rate(row: Row) -> Estimate:
    high = math.inf if row.throughput_high_rps is None else row.throughput_high_rps
    value, low = row.throughput_rps or 0.0, row.throughput_low_rps or 0.0
    return Estimate(value=value, low=low, high=high, method="")


def _of_levels(run: Run, row: Row, rivals: list[Row]) -> Found:
    ours = run.level(row)
    if ours is None or not ours.samples or not ours.valid:
        return None
    there = [(point, other) for other in rivals for point in _at(run, other, ours)]
    for shared in _side_by_side(run, row, there):
        return shared
    if not there:
        return None
    fastest, other = max(there, key=lambda pair: pair[0].throughput_rps.value)
    found = ratio(ours.throughput_rps, fastest.throughput_rps, phrases.settings(other.settings))
    return (found, other) if found else None


def _at(run: Run, other: Row, ours: LoadResult) -> Iterator[LoadResult]:
    """Its load tests under the same load that say something."""
    for point in run.points(other):
        if level_of(point.spec) == level_of(ours.spec) and point.samples and point.valid:
            yield point


def _side_by_side(run: Run, row: Row, there: list[tuple[LoadResult, Row]]) -> Iterator[tuple[Ratio, Row]]:
    comparison = run.recommendation.comparison
    for one in comparison.throughputs if comparison else ():
        if one.candidate == run.measured_key(row) and one.users == row.users:
            for _, other in there:
                if run.measured_key(other) == one.against:
                    against = phrases.settings(other.settings)
                    yield Ratio(one.ratio, one.low, one.high, against, one.rounds), other


def _agreed(run: Run, row: Row, found: Ratio, theirs: Row) -> Ratio:
    """Make the ratio say what the ranking says of the same two rows, whose interval is of all at once.

    Where the ranking tells neither from the best, an interval of these two alone that leaves out 1 is widened
    to 1. Where the ranking tells them apart, of which one is the best, the ranking's own interval is shown.
    """
    if row.tied_with_best and theirs.tied_with_best:
        return replace(found, low=min(found.low, 1.0), high=max(found.high, 1.0))
    if not found.tie or level_of(row) != level_of(theirs):
        return found
    best = run.measured_key(run.recommendation.ranking[0]) if run.recommendation.ranking else ""
    other = {run.measured_key(row): theirs, run.measured_key(theirs): row}.get(best)
    ends = (other.against_best_low, other.against_best, other.against_best_high) if other else (None,)
    known = [end for end in ends if end]
    if len(known) < 3 or other is None or other.tied_with_best:
        return found
    low, value, high = known if other is theirs else [1 / end for end in reversed(known)]
    return replace(found, low=low, value=value, high=high)


def _log_distance(smaller: float, larger: float) -> float:
    return math.log(larger / smaller) if smaller > 0 else math.inf
