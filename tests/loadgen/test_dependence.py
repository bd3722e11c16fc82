from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.loadgen.queueing import Queue
from benchmarks.loadgen.queueing_samples import queue_samples
from modeldyno.loadgen.stats.dependence import MOST_BLOCKS, Dependence, autocovariance, design_effect
from modeldyno.loadgen.stats.intervals import effective_ranks, quantile_rank

Floats = npt.NDArray[np.float64]


def test_autocovariances_worked_by_hand() -> None:
    # Around the mean 2: -1, 0, 1; products (1 + 0 + 1) / 3, (0 + 0) / 3, -1 / 3.
    assert autocovariance(np.array([1.0, 2.0, 3.0])) == pytest.approx([2 / 3, 0, -1 / 3])


def test_the_effect_of_a_chain_of_known_memory_is_found() -> None:
    # Stays as it was with probability 0.8: autocorrelation 0.6^k, effect (1 + 0.6) / (1 - 0.6) = 4.
    rng = np.random.default_rng(0)
    found = [design_effect(np.cumsum(rng.random(20_000) < 0.2) % 2 == 1) for _ in range(20)]
    assert np.mean(found) == pytest.approx(4, rel=0.05)


def test_long_recordings_are_counted_in_blocks_and_say_the_same() -> None:
    rng = np.random.default_rng(1)
    samples = 8 * MOST_BLOCKS + 5
    assert design_effect(np.cumsum(rng.random(samples) < 0.02) % 2 == 1) == pytest.approx(49, rel=0.25)
    assert design_effect(rng.random(samples) < 0.01) == pytest.approx(1, abs=0.05)


def test_what_alternates_is_worth_no_more_than_what_is_independent() -> None:
    assert design_effect(np.arange(1000) % 2 == 0) == 1.0
    assert design_effect(np.ones(1000, bool)) == 1.0


def test_a_percentile_with_few_samples_beyond_it_borrows_the_dependence_of_lower_ones() -> None:
    # Slow and fast spells of 50: the 10 slowest hardly meet, the 50 slowest do.
    latency = (np.arange(1000) // 50 % 2) * 1000 + np.random.default_rng(2).permutation(1000)
    ordered = np.sort(latency)
    alone, lower = (
        design_effect(latency > ordered[quantile_rank(1000, share) - 1]) for share in (0.99, 0.95)
    )
    assert 1 < alone < lower
    assert Dependence(latency, ordered).effective_samples(0.99) == int(1000 / lower)


def test_fewer_than_100_samples_count_as_they_are() -> None:
    latency = np.repeat([1, 2, 3], 33)
    assert Dependence(latency, latency).effective_samples(0.5) == 99


def coverage(draws: Callable[[], Floats], truth: float, share: float, runs: int) -> float:
    """How often the interval of a percentile holds the true one."""
    hits = 0
    for _ in range(runs):
        values = draws()
        ordered, samples = np.sort(values), len(values)
        effective = Dependence(values, ordered).effective_samples(share)
        low, high = effective_ranks(samples, effective, share)
        above = low is None or ordered[low - 1] <= truth
        hits += above and (high is None or truth <= ordered[high - 1])
    return hits / runs


@pytest.mark.parametrize(("share", "samples"), [(0.5, 200), (0.95, 1000), (0.99, 5000), (0.999, 20000)])
def test_intervals_of_independent_samples_hold_the_truth_95_times_in_100(share: float, samples: int) -> None:
    rng = np.random.default_rng(5)
    found = coverage(lambda: rng.exponential(size=samples), -np.log(1 - share), share, runs=600)
    assert 0.93 <= found <= 0.985


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_intervals_of_a_queue_hold_the_truth_95_times_in_100(share: float) -> None:
    # The ranks of independent samples do so 57, 44 and 40 times.
    queue = Queue(0.6, 1.0, fixed=False)
    rng = np.random.default_rng(6)
    found = coverage(lambda: queue_samples(queue, 2000, 1, rng)[0], queue.quantile_s(share), share, runs=500)
    assert 0.92 <= found <= 0.995
