from __future__ import annotations

import numpy as np
import pytest

from modeldyno.loadgen.stats.intervals import (
    SLICES,
    effective_ranks,
    fewest_samples,
    order_ranks,
    quantile_rank,
    slice_correlation,
    student_975,
    throughput_estimate,
)


def test_ranks_of_ten_samples_for_the_median_are_the_table_values() -> None:
    # P(B <= 1) = 11/1024 = 1.07 % and P(B <= 2) = 5.5 % for 10 throws of a coin: ranks 2 and 9.
    assert order_ranks(10, 0.5) == (2, 9)


def test_five_samples_do_not_bound_a_median_six_do() -> None:
    # 2 * (1/2)^5 = 6.25 % is more than 5 %, 2 * (1/2)^6 is not.
    assert order_ranks(5, 0.5) == (None, None)
    assert order_ranks(6, 0.5) == (1, 6)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_the_least_number_of_samples_is_the_first_with_an_upper_rank(share: float) -> None:
    least = fewest_samples(share)
    assert order_ranks(least, share)[1] == least
    assert order_ranks(least - 1, share)[1] is None


def test_ranks_of_many_samples_come_close_to_the_normal_ones() -> None:
    # sd = sqrt(10^8 * 0.99 * 0.01) = 994.99; 1.959964 sd = 1950.1 to each side of 99,000,000.
    low, high = order_ranks(10**8, 0.99)
    assert low == pytest.approx(99_000_000 - 1950, abs=3)
    assert high == pytest.approx(99_000_000 + 1950, abs=3)


def test_quantile_rank_is_the_first_sample_with_enough_below() -> None:
    assert [quantile_rank(1000, share) for share in (0.5, 0.99, 0.999)] == [500, 990, 999]
    assert [quantile_rank(7, share) for share in (0.5, 0.99)] == [4, 7]
    assert quantile_rank(1, 0.5) == 1


def test_samples_worth_a_quarter_have_the_ranks_of_a_quarter_at_the_same_shares() -> None:
    assert effective_ranks(1000, 1000, 0.5) == order_ranks(1000, 0.5)
    # 250 throws of a coin: ranks 110 and 141, 15 below and 16 above the middle: 60 and 64 of 1000.
    assert order_ranks(250, 0.5) == (110, 141)
    assert effective_ranks(1000, 250, 0.5) == (440, 564)
    # Worth fewer than the 368 that bound a 99th percentile.
    assert effective_ranks(1000, 250, 0.99)[1] is None


@pytest.mark.parametrize(
    ("freedoms", "table"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1e9, 1.96)]
)
def test_students_quantiles_are_those_of_the_table(freedoms: float, table: float) -> None:
    assert student_975(freedoms) == pytest.approx(table, rel=8e-3)


@pytest.mark.parametrize("mean", [2.0, 10.0, 200.0])
def test_throughput_intervals_hold_the_truth_95_times_in_100(mean: float) -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(3000):
        estimate = throughput_estimate(rng.poisson(mean, SLICES), window_s=10.0)
        hits += estimate.low <= mean * SLICES / 10 <= estimate.high
    assert 0.93 <= hits / 3000 <= 0.97


def test_throughput_interval_worked_by_hand() -> None:
    # 10 slices of 9 and 10 of 11 in 10 s: 20 req/s; slice rates 18 and 22, sd = 2 * sqrt(20 / 19) = 2.05196.
    estimate = throughput_estimate(np.array([9, 11] * 10), window_s=10.0)
    assert estimate.value == pytest.approx(20)
    assert estimate.high - 20 == pytest.approx(2.093024 * 2.05196 / np.sqrt(20), rel=1e-4)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_the_rank_that_states_a_quantile_is_between_those_that_bound_it(share: float) -> None:
    for samples in (400, 488, 5000):
        stated = quantile_rank(samples, share)
        for effective in range(1, 150):
            low, high = effective_ranks(samples, effective, share)
            assert low is None or low <= stated
            assert high is None or high >= stated


def test_a_throughput_is_never_surer_than_one_request() -> None:
    estimate = throughput_estimate(np.full(SLICES, 5), window_s=4.0)
    assert (estimate.low, estimate.value, estimate.high) == (24.75, 25.0, 25.25)
    assert throughput_estimate(np.zeros(SLICES, dtype=np.int64), window_s=4.0).low == 0.0


def test_a_drift_shows_as_correlation_of_the_slices() -> None:
    assert slice_correlation(np.arange(SLICES)) > 0.8
    assert slice_correlation(np.array([9, 11] * 10)) < -0.9
    assert slice_correlation(np.full(SLICES, 5)) == 0.0
