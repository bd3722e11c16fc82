from __future__ import annotations

import math

import numpy as np
import pytest

from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import flip_test, interval
from modeldyno.trials.compare.metrics import statistic_of
from tests.trials.made import pair, served


def test_quantiles_are_those_of_the_pooled_requests() -> None:
    rng = np.random.default_rng(0)
    pairs = [served(rng, number) for number in range(30)]
    ours, theirs = list[float](), list[float]()
    for each in pairs:
        centre = math.sqrt(each.baseline.p50_us * each.candidate.p50_us)
        ours.extend(each.baseline.latency_us / centre)
        theirs.extend(each.candidate.latency_us / centre)
    for metric, share in (("p95_ms", 0.95), ("p99_ms", 0.99)):
        wanted = math.log(np.quantile(theirs, share) / np.quantile(ours, share))
        assert statistic_of(metric, pairs).estimate == pytest.approx(wanted, abs=0.005)


def test_swapping_a_pair_is_swapping_its_blocks() -> None:
    rng = np.random.default_rng(1)
    pairs = [served(rng, number, 1.1) for number in range(10)]
    signs = Signs(0).of(range(10))
    flips = statistic_of("p95_ms", pairs).flipped(signs, 0.0)
    for row in (3, 200, 511):
        turned = [
            each if sign > 0 else type(each)(each.number, each.candidate, each.baseline)
            for each, sign in zip(pairs, signs[row], strict=True)
        ]
        assert statistic_of("p95_ms", turned).estimate == pytest.approx(flips[row], abs=1e-9)


def test_the_machine_slower_for_a_pair_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    pairs = [served(rng, number) for number in range(24)]
    slowed = [
        pair(
            each.number,
            tuple(each.baseline.latency_us * (1 + each.number % 3)),
            tuple(each.candidate.latency_us * (1 + each.number % 3)),
        )
        for each in pairs
    ]
    # Bins are up to 0.1 % wide.
    found = [statistic_of("p99_ms", each).estimate for each in (pairs, slowed)]
    assert found[0] == pytest.approx(found[1], abs=0.003)


def test_the_estimate_moves_by_what_is_taken_out_and_flips_by_no_more() -> None:
    rng = np.random.default_rng(3)
    statistic = statistic_of("p95_ms", [served(rng, number, 1.1) for number in range(24)])
    signs = Signs(0, 400).of(range(24))
    near, far = statistic.flipped(signs, 0.02), statistic.flipped(signs, 0.05)
    assert near[0] - far[0] == pytest.approx(0.03, abs=5e-4)
    assert (near - far).max() <= 0.03 + 2e-3


def test_ten_percent_on_p99_is_found_and_none_is_not() -> None:
    signs = Signs(0, 1000).of(range(60))
    rng = np.random.default_rng(4)
    p_values = {
        ratio: [
            flip_test(
                statistic_of("p99_ms", [served(rng, number, ratio) for number in range(60)]), signs
            ).p_more
            for _ in range(20)
        ]
        for ratio in (1.0, 1.1)
    }
    # 12,000 requests: p99 has a standard error of some 2.5 %.
    assert sum(p <= 0.01 for p in p_values[1.0]) <= 2
    assert sum(p <= 0.01 for p in p_values[1.1]) >= 17


def test_interval_holds_the_truth_and_agrees_with_the_test() -> None:
    rng, signs = np.random.default_rng(5), Signs(0, 1000).of(range(40))
    held = 0
    for _ in range(12):
        statistic = statistic_of("p95_ms", [served(rng, number, 1.05) for number in range(40)])
        low, high = interval(statistic, signs, 0.025, (0.0, 0.05))
        held += low <= math.log(1.05) <= high
        assert low < statistic.estimate < high
        assert (low >= 0) == (flip_test(statistic, signs).p_more <= 0.025)
        assert (high <= 0.05) == (flip_test(statistic, signs, 0.05).p_less <= 0.025)
    assert held >= 9
