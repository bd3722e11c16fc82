from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.compare.simulate import Machine, pair_ratios
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TrimmedMean, standard_error
from modeldyno.trials.compare.looks.detectable import (
    budget_factor,
    found_share,
    looks_of,
    smallest_found,
    smallest_regression,
)
from modeldyno.trials.compare.looks.sequential import Limit, Progress, look
from modeldyno.trials.compare.looks.spending import LOOKS, NORMAL

LIMITS = (math.log(1.05), math.log(1.025))


def test_one_look_by_hand() -> None:
    # Where nothing passes and there is no floor, what is found is 2.326 + 0.842 standard errors.
    found = smallest_found(0.1, (-9.0, 0.0), (1.0,))
    assert found == pytest.approx(0.1 * (NORMAL.inv_cdf(0.99) + NORMAL.inv_cdf(0.8)), rel=0.02)


def test_more_noise_finds_less() -> None:
    sizes = [smallest_found(error, LIMITS) for error in (0.008, 0.012, 0.02, 0.04)]
    assert sizes == sorted(sizes)
    assert sizes[0] < LIMITS[0] < sizes[2]


def test_what_passes_first_is_not_found() -> None:
    assert found_share(math.log(1.03), 1e-4, LIMITS) == 0.0
    assert found_share(math.log(1.06), 1e-4, LIMITS) == 1.0


def test_no_look_finds_nothing() -> None:
    assert looks_of(23) == ()
    assert looks_of(24) == (1.0,)
    assert looks_of(100) == LOOKS[1:]
    assert smallest_found(0.01, LIMITS, looks_of(23)) == math.inf


def test_what_is_missing_is_as_much_as_the_noise_asks() -> None:
    assert budget_factor(0.008, LIMITS) == 1.0
    factor = budget_factor(0.03, LIMITS)
    assert found_share(LIMITS[0], 0.03 / math.sqrt(factor), LIMITS) == pytest.approx(0.8, abs=0.02)


def test_a_floor_above_the_limit_is_reached_by_no_budget() -> None:
    assert budget_factor(0.03, (0.01, 0.05)) == math.inf


def test_a_run_that_ended_early_had_more_to_come() -> None:
    rng, signs = np.random.default_rng(1), Signs(0, 2000)
    early = TrimmedMean(tuple(range(33)), pair_ratios(rng, Machine(block_sd=0.1), 33))
    each = look(Progress(), {"p50_ms": early}, signs, 0.33, {"p50_ms": Limit()}).latest["p50_ms"]
    error = each.standard_error * math.sqrt(33 / 100)
    stated = smallest_regression("p50_ms", each, 100, Limit())
    assert math.log1p(stated) == pytest.approx(smallest_found(error, LIMITS, looks_of(100)), rel=0.03)
    assert smallest_regression("p50_ms", each, 33, Limit()) > 1.5 * stated
    assert smallest_regression("p50_ms", each, 20, Limit()) == math.inf


def test_what_other_metrics_take_makes_the_size_larger() -> None:
    rng, signs = np.random.default_rng(2), Signs(0, 2000)
    several = {
        metric: TrimmedMean(tuple(range(100)), pair_ratios(rng, Machine(block_sd=0.2), 100))
        for metric in ("p50_ms", "p95_ms", "p99_ms", "cpu_ms_per_request")
    }
    alone = {"p50_ms": several["p50_ms"]}
    sizes = [
        smallest_regression(
            "p50_ms",
            look(Progress(), metrics, signs, 1.0, dict.fromkeys(metrics, Limit())).latest["p50_ms"],
            100,
            Limit(),
            metrics=len(metrics),
        )
        for metrics in (alone, several)
    ]
    assert sizes[0] < sizes[1]


def test_gates_find_the_size_that_was_stated() -> None:
    signs, machine = Signs(0, 2000), Machine(block_sd=0.07)
    rng = np.random.default_rng(0)
    run = TrimmedMean(tuple(range(100)), pair_ratios(rng, machine, 100))
    stated = smallest_found(standard_error(run, signs.of(range(100))), LIMITS, looks_of(100))
    found = 0
    for _ in range(60):
        values, progress = pair_ratios(rng, machine, 100, true=stated), Progress()
        for share in looks_of(100):
            pairs = round(100 * share)
            seen = TrimmedMean(tuple(range(pairs)), values[:pairs])
            progress = look(progress, {"p50_ms": seen}, signs, share, {"p50_ms": Limit()})
            if progress.verdict is not None:
                break
        found += progress.verdict == "regression"
    assert 0.6 <= found / 60 <= 0.95
