"""What rounds differ by, pooled over the levels of a run; intervals hold the truth as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modeldyno.base.records.record import Estimate
from modeldyno.trials.whole.between import UNKNOWN, Between, between_rounds, mean_of

RUNS = 1000


def test_differences_are_pooled_and_each_level_gives_one_fewer_than_it_has_rounds() -> None:
    found = between_rounds([[1.0, math.e], [5.0, 5.0], [2.0], [1.0, 1.0, 1.0]])
    # Squares around the mean: 2 x 0.5^2, over 1 + 1 + 0 + 2 differences.
    assert found.freedoms == 4
    assert found.sd == pytest.approx(math.sqrt(0.5 / 4))
    assert between_rounds([[1.0], [2.0]]) == UNKNOWN


def test_two_rounds_of_several_candidates_are_not_judged_by_one_difference() -> None:
    assert Between(0.01, 1).half(2) == pytest.approx(12.7 * 0.01 / math.sqrt(2), rel=0.01)
    assert Between(0.01, 8).half(2) == pytest.approx(2.306 * 0.01 / math.sqrt(2), rel=0.01)
    assert UNKNOWN.half(2) == 0


def test_the_wider_of_both_intervals_counts() -> None:
    tests = [Estimate(value=v, low=v - 3, high=v + 3, method="95 %, by slices") for v in (99.0, 101.0)]
    own = 3 / math.sqrt(2)
    quiet = mean_of(tests, Between(1e-6, 4))
    assert (quiet.value, quiet.low, quiet.high) == pytest.approx((100, 100 - own, 100 + own))
    loud = mean_of(tests, Between(0.1, 4))
    assert loud.low == pytest.approx(100 * math.exp(-Between(0.1, 4).half(2)))
    assert loud.high == pytest.approx(100 * math.exp(Between(0.1, 4).half(2)))
    assert "4 differences, 10 %" in loud.method


def covered(levels: int, rounds: int, own: float, between: float) -> float:
    """Share of intervals that hold the truth, where tests differ by themselves and between rounds."""
    rng = np.random.default_rng((levels, rounds))
    held = 0
    for _ in range(RUNS):
        logs = rng.normal(0, math.hypot(own, between), (levels, rounds))
        spread = between_rounds(np.exp(logs))
        width = 1.96 * own
        tests = [
            Estimate(value=v, low=v * math.exp(-width), high=v * math.exp(width), method="95 %, given")
            for v in np.exp(logs[0])
        ]
        found = mean_of(tests, spread)
        held += found.low <= 1 <= found.high
    return held / RUNS


@pytest.mark.parametrize("levels", [1, 4, 12])
def test_an_interval_of_two_rounds_holds_the_truth_in_19_of_20_runs(levels: int) -> None:
    assert 0.93 <= covered(levels, 2, own=0.01, between=0.03) <= 0.97
    assert 0.93 <= covered(levels, 2, own=0.01, between=0.01) <= (0.97 if levels > 1 else 0.99)


def test_where_rounds_do_not_differ_the_interval_is_little_wider_than_need_be() -> None:
    assert 0.95 <= covered(8, 2, own=0.02, between=0.0) <= 0.99


def test_one_test_alone_would_hold_it_far_less_often() -> None:
    # The figures of a single test at a spread of 3 % between starts and an own error of 1 %.
    rng = np.random.default_rng(0)
    held = np.abs(rng.normal(0, math.hypot(0.01, 0.03), RUNS)) < 1.96 * 0.01
    assert held.mean() < 0.6
