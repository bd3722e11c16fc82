from __future__ import annotations

import math

import pytest

from modeldyno.base.records.record import Estimate
from modeldyno.base.records.run import Row, Trial
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.speedup import ratio, speedup
from tests.reports.sample import instance, point, recommendation, row, trial

LARGE, MEDIUM = instance("c7a.large", 2, 0.1), instance("c7a.medium", 1, 0.05)


def _run(*trials: Trial) -> tuple[Run, list[Row]]:
    rows = [row(made, 0, number) for number, made in enumerate(trials, 1)]
    return Run(recommendation(rows), {made.candidate.key: made for made in trials}), rows


def _estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, method="by hand")


def test_ratio_and_interval_worked_by_hand() -> None:
    # 100 (80 to 125) over 50 (40 to 62.5): all ends are 1.25 times away, the ratio's 1.25^sqrt(2) = 1.3711.
    found = ratio(_estimate(100, 80, 125), _estimate(50, 40, 62.5), "2 threads")
    assert found is not None
    assert found.value == 2.0
    assert found.low == pytest.approx(2 / 1.3711, rel=1e-4)
    assert found.high == pytest.approx(2 * 1.3711, rel=1e-4)
    assert not found.tie


def test_an_interval_that_holds_one_is_a_tie() -> None:
    found = ratio(_estimate(100, 90, 110), _estimate(95, 86, 105), "")
    assert found is not None
    assert found.low < 1 < found.high
    assert found.tie


def test_an_end_at_zero_leaves_the_ratio_open() -> None:
    found = ratio(_estimate(10, 0, 20), _estimate(5, 4, 6), "")
    assert found is not None
    assert found.low == 0
    found = ratio(_estimate(10, 9, 11), _estimate(5, 0, 6), "")
    assert found is not None
    assert math.isinf(found.high)


def test_nothing_is_compared_with_a_throughput_of_zero() -> None:
    assert ratio(_estimate(10, 9, 11), _estimate(0, 0, 0), "") is None
    assert ratio(_estimate(0, 0, 0), _estimate(10, 9, 11), "") is None


def test_speedup_is_against_the_fastest_baseline_on_the_same_type_and_load() -> None:
    ours = trial(LARGE, "compiled", [point(2, 60.0, 30.0)])
    slow = trial(LARGE, "onnxruntime", [point(2, 20.0, 90.0)], threads=1)
    fast = trial(LARGE, "onnxruntime", [point(2, 40.0, 45.0), point(4, 50.0, 80.0)])
    elsewhere = trial(MEDIUM, "onnxruntime", [point(2, 55.0, 36.0)])
    run, rows = _run(ours, slow, fast, elsewhere)
    found = speedup(run, rows[0])
    assert found is not None
    assert found.value == pytest.approx(60 / 40)
    assert found.against == "2 threads \u00d7 1 worker"


def test_no_baseline_at_that_load_means_no_speedup() -> None:
    ours = trial(LARGE, "compiled", [point(2, 60.0, 30.0)])
    other_load = trial(LARGE, "onnxruntime", [point(1, 40.0, 25.0)])
    run, rows = _run(ours, other_load)
    assert speedup(run, rows[0]) is None
    assert speedup(run, rows[1]) is None  # the baseline itself
