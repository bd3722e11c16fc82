from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.compare.simulate import DISTURBED, QUIET, Machine, pair_ratios
from modeldyno.base.errors import ConfigError
from modeldyno.trials.compare.blocks import Pair
from modeldyno.trials.compare.flips.signs import Signs, all_signs
from modeldyno.trials.compare.flips.statistic import (
    TrimmedMean,
    flip_test,
    interval,
    standard_error,
    trimmed_mean,
)
from modeldyno.trials.compare.metrics import statistic_of, worse_log, worse_share
from tests.trials.made import block


def of(*values: float) -> TrimmedMean:
    return TrimmedMean(tuple(range(len(values))), np.array(values))


def test_a_quarter_is_left_out_at_each_end() -> None:
    assert trimmed_mean(np.array([9.0, 1, 2, 3, 4, -50, 700, 5])) == (2 + 3 + 4 + 5) / 4
    assert trimmed_mean(np.array([1.0, 2.0, 6.0])) == 3.0


def test_few_pairs_are_tested_exactly() -> None:
    # Of the 8 ways to turn three signs only (+, +, +) gives a mean of 2 or more.
    tested = flip_test(of(1.0, 2.0, 3.0), Signs(0).of(range(3)))
    assert (tested.p_more, tested.p_less) == (1 / 8, 1.0)
    assert sorted(np.concatenate([tested.flips, -tested.flips]) * 3) == [-6, -4, -2, 0, 0, 2, 4, 6]


def test_ties_count_as_much_as_was_seen() -> None:
    # (1, 1, 1, -1) has a trimmed mean of 1. Four vectors leave one value negative, one none: 5 of 16.
    assert flip_test(of(1.0, 1.0, 1.0, -1.0), Signs(0).of(range(4))).p_more == 5 / 16


def test_drawn_vectors_come_near_the_exact_p_value() -> None:
    values = 0.4 + np.random.default_rng(2).standard_normal(16)
    exact = flip_test(of(*values), all_signs(16)).p_more
    drawn = flip_test(of(*values), Signs(0).of(range(16))).p_more
    assert drawn == pytest.approx(exact, abs=3 * math.sqrt(exact / 10_000))
    assert drawn > 1e-4


def test_coins_hang_on_the_pair_alone() -> None:
    signs = Signs(5)
    many = signs.of(range(40))
    some = signs.of([number for number in range(50) if number not in (3, 17) and number < 40])
    assert (many[:, [n for n in range(40) if n not in (3, 17)]] == some).all()
    assert (many[0] == 1).all()
    assert (Signs(5).of(range(40)) == many).all()


def test_no_vector_no_end() -> None:
    # With four pairs the rarest p-value is 1/16: nothing is rejected at 5 %.
    assert interval(of(1.0, 2.0, 3.0, 4.0), Signs(0).of(range(4)), 0.05) == (-math.inf, math.inf)


def test_the_interval_of_few_pairs_by_hand() -> None:
    # At the level 1/8 only (+, +, +) may give as much as was seen. Up to the smallest value, 1, all are
    # positive and any turned sign gives less; at 1 turning that one gives the same. From 6 on all are
    # negative.
    low, high = interval(of(1.0, 2.0, 6.0), Signs(0).of(range(3)), 1 / 8)
    assert (low, high) == pytest.approx((1.0, 6.0), abs=0.01)


@pytest.mark.parametrize("true", [-0.004, 0.0, 0.007, 0.02, 0.05])
def test_interval_and_test_never_disagree(true: float) -> None:
    rng, signs = np.random.default_rng(4), Signs(1).of(range(40))
    for _ in range(10):
        statistic = of(*pair_ratios(rng, DISTURBED, 40, true=true))
        low, high = interval(statistic, signs, 0.025, (0.0, 0.01))
        assert low < statistic.estimate < high
        for asked in (0.0, 0.01):
            tested = flip_test(statistic, signs, asked)
            assert (low >= asked) == (tested.p_more <= 0.025)
            assert (high <= asked) == (tested.p_less <= 0.025)


def test_the_interval_says_of_what_is_asked_just_what_the_test_says() -> None:
    signs = Signs(1, 2000).of(range(30))
    statistic = of(*pair_ratios(np.random.default_rng(9), QUIET, 30))
    low, high = interval(statistic, signs, 0.025, ())
    # The ends are found to a thousandth of the standard error: nearer than that only asking tells.
    for near in np.linspace(-2e-3, 2e-3, 41) * standard_error(statistic, signs):
        for asked in (low + near, high + near):
            ends = interval(statistic, signs, 0.025, (asked,))
            tested = flip_test(statistic, signs, asked)
            assert (ends[0] >= asked) == (tested.p_more <= 0.025)
            assert (ends[1] <= asked) == (tested.p_less <= 0.025)


def test_a_twentieth_of_the_intervals_miss_the_truth() -> None:
    rng, signs = np.random.default_rng(6), Signs(1, 2000).of(range(40))
    for machine in (QUIET, DISTURBED):
        held = 0
        for _ in range(200):
            low, high = interval(of(*pair_ratios(rng, machine, 40, true=0.05)), signs, 0.025)
            held += low <= 0.05 <= high
        # 190 of 200 expected, with a standard deviation of 3.1.
        assert 180 <= held <= 199


def found_by(estimator: str, machine: Machine, true: float, tries: int) -> float:
    rng, signs = np.random.default_rng(8), Signs(1, 2000).of(range(100))
    found = 0
    for _ in range(tries):
        values = pair_ratios(rng, machine, 100, true=true)
        flips = signs @ values / 100 if estimator == "mean" else flip_test(of(*values), signs).flips
        found += np.mean([flips >= flips[0] - 1e-12, -flips >= flips[0] - 1e-12]) <= 0.01
    return found / tries


def test_disturbed_blocks_hide_five_percent_from_the_mean_and_not_from_the_trimmed_mean() -> None:
    true = math.log(1.05)
    assert found_by("trimmed", DISTURBED, true, 150) >= 0.97
    assert 0.2 < found_by("mean", DISTURBED, true, 150) < 0.5
    assert found_by("trimmed", QUIET, true, 40) == found_by("mean", QUIET, true, 40) == 1.0


def test_no_difference_is_found_as_often_as_the_level_says() -> None:
    # 3 of 300 expected at 1 %, with a standard deviation of 1.7.
    assert found_by("trimmed", DISTURBED, 0.0, 300) <= 8 / 300


def test_standard_error_of_a_quiet_run() -> None:
    # The trimmed mean of normal values has 1.09 times the mean's standard error: 3 % / 10 * 1.09.
    rng, signs = np.random.default_rng(3), Signs(1).of(range(100))
    errors = [standard_error(of(*pair_ratios(rng, QUIET, 100)), signs) for _ in range(20)]
    assert np.mean(errors) == pytest.approx(0.00327, rel=0.1)


def test_metrics_are_turned_so_that_more_is_worse() -> None:
    ours = block("a", 0, (1000, 1000, 3000), seconds=1.0, cpu_s=0.003)
    theirs = block("b", 0, (1100, 1100), seconds=1.0, cpu_s=0.004)
    pairs = [Pair(0, ours, theirs)]
    assert statistic_of("p50_ms", pairs).estimate == pytest.approx(math.log(1.1))
    assert statistic_of("throughput_rps", pairs).estimate == pytest.approx(math.log(3 / 2))
    assert statistic_of("cpu_ms_per_request", pairs).estimate == pytest.approx(math.log(2))


def test_five_percent_less_throughput_is_a_twentieth_of_it() -> None:
    assert worse_log("throughput_rps", 0.05) == pytest.approx(-math.log(0.95))
    assert worse_log("p50_ms", 0.05) == pytest.approx(math.log(1.05))
    for metric in ("throughput_rps", "p50_ms"):
        assert worse_share(metric, worse_log(metric, 0.05)) == pytest.approx(0.05)


def test_metrics_that_are_not_there_are_said() -> None:
    with pytest.raises(ConfigError, match=r"unknown metric 'p50'; nearest: p50_ms"):
        statistic_of("p50", [])
    with pytest.raises(ConfigError, match="cpu_ms_per_request can't be compared"):
        statistic_of("cpu_ms_per_request", [Pair(0, block("a"), block("b"))])
