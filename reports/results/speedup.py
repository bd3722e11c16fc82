"""How many times faster one candidate is than another, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    """Compare a compiled row with the fastest ONNX Runtime candidate on the same instance type and load.

    Where each was searched for its highest rate, those rates are compared. None for the baseline itself, and
    where there is nothing to compare with.
    """
    if row.found_rate:
        return _speedup_of_searches(run, row)
    ours = run.level(row)
    if row.backend == BASELINE or ours is None:
        return None
    rivals = [(point, name) for point, name in _baselines(run, row, ours) if point.samples]
    if not rivals or not ours.samples:
        return None
    fastest, name = max(rivals, key=lambda rival: rival[0].throughput_rps.value)
    return ratio(ours.throughput_rps, fastest.throughput_rps, name)


def _speedup_of_searches(run: Run, row: Row) -> Ratio | None:
    rivals = [
        other
        for other in run.rows
        if other.backend == BASELINE and other.instance_type == row.instance_type and other.found_rate
    ]
    if row.backend == BASELINE or not rivals:
        return None
    fastest = max(rivals, key=lambda rival: rival.throughput_rps or 0.0)
    return ratio(_rate(row), _rate(fastest), phrases.settings(fastest.settings))


def _rate(row: Row) -> Estimate:
    high = math.inf if row.throughput_high_rps is None else row.throughput_high_rps
    value, low = row.throughput_rps or 0.0, row.throughput_low_rps or 0.0
    return Estimate(value=value, low=low, high=high, method="")


def _baselines(run: Run, row: Row, ours: LoadResult) -> list[tuple[LoadResult, str]]:
    return [
        (point, phrases.settings(trial.candidate.settings))
        for trial in run.trials.values()
        if trial.candidate.backend == BASELINE and trial.candidate.instance_type == row.instance_type
        for point in trial.points
        if level_of(point.spec) == level_of(ours.spec)
    ]


def _log_distance(smaller: float, larger: float) -> float:
    return math.log(larger / smaller) if smaller > 0 else math.inf
