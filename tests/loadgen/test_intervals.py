from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from loadgen.intervals import (
    SLICES,
    design_effect,
    fewest_samples,
    order_ranks,
    quantile_rank,
    slice_correlation,
    throughput_estimate,
    widened,
)

Floats = npt.NDArray[np.float64]


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


def test_dependence_moves_the_ranks_apart_by_its_root() -> None:
    # From 500 +- 30 to 500 +- 60 at four times the variance.
    assert widened((470, 530), 1000, 0.5, 4.0) == (440, 560)
    assert widened((985, 996), 1000, 0.99, 9.0) == (975, None)


def test_slow_requests_that_come_together_raise_the_design_effect() -> None:
    slices = np.repeat(np.arange(SLICES), 50)
    together, spread = np.zeros(1000, bool), np.zeros(1000, bool)
    together[:50] = True
    spread[::20] = True
    # All 50 slow ones in one slice: sum of squares 47.5^2 + 19 * 2.5^2 = 2375; over 50 * 0.05 * 0.95 * 19.
    assert design_effect(slices, together) == pytest.approx(2375 / (50 * 0.05 * 0.95 * 19))
    assert design_effect(slices, spread) == 1.0


def coverage(draw: Callable[[], Floats], truth: float, share: float, runs: int = 1500) -> float:
    """How often the interval of a percentile holds the true one."""
    hits = 0
    for _ in range(runs):
        values = draw()
        ordered, samples = np.sort(values), len(values)
        slices = np.arange(samples) * SLICES // samples
        effect = design_effect(slices, values > ordered[quantile_rank(samples, share) - 1])
        low, high = widened(order_ranks(samples, share), samples, share, effect)
        above = low is None or ordered[low - 1] <= truth
        hits += above and (high is None or truth <= ordered[high - 1])
    return hits / runs


@pytest.mark.parametrize(("share", "samples"), [(0.5, 200), (0.95, 1000), (0.99, 5000), (0.999, 20000)])
def test_percentile_intervals_of_independent_samples_hold_the_truth_95_times_in_100(
    share: float, samples: int
) -> None:
    rng = np.random.default_rng(5)
    found = coverage(lambda: rng.exponential(size=samples), -np.log(1 - share), share, runs=800)
    assert 0.93 <= found <= 0.98


def test_percentile_intervals_of_correlated_samples_still_hold_the_truth_nine_times_in_ten() -> None:
    # Without the design effect this is 45 times in 100.
    rng = np.random.default_rng(6)

    def draw() -> Floats:
        noise = rng.normal(size=1200) * np.sqrt(1 - 0.9**2)
        kernel = 0.9 ** np.arange(120)
        return np.convolve(noise, kernel, mode="valid")[:1000]

    assert 0.88 <= coverage(draw, 0.0, 0.5, runs=600) <= 0.98


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


def test_a_throughput_is_never_surer_than_one_request() -> None:
    estimate = throughput_estimate(np.full(SLICES, 5), window_s=4.0)
    assert (estimate.low, estimate.value, estimate.high) == (24.75, 25.0, 25.25)
    assert throughput_estimate(np.zeros(SLICES, dtype=np.int64), window_s=4.0).low == 0.0


def test_a_drift_shows_as_correlation_of_the_slices() -> None:
    assert slice_correlation(np.arange(SLICES)) > 0.8
    assert slice_correlation(np.array([9, 11] * 10)) < -0.9
    assert slice_correlation(np.full(SLICES, 5)) == 0.0
