from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.compare.simulate import DISTURBED, QUIET, Machine, pair_ratios
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import TrimmedMean
from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.looks.sequential import Limit, Progress, limit_of, look
from modeldyno.trials.compare.looks.spending import LOOKS, NORMAL, nominal_levels, spent

FIVE = Limit(0.05, 0.025)
SIGNS = Signs(0, 4000)


def gate(
    metrics: dict[str, Floats],
    limit: Limit = FIVE,
    looks: Iterable[float] = LOOKS,
    alpha: float = 0.01,
) -> Progress:
    progress = Progress()
    for share in looks:
        seen = round(120 * share)
        statistics = {
            name: TrimmedMean(tuple(range(seen)), values[:seen]) for name, values in metrics.items()
        }
        progress = look(progress, statistics, SIGNS, share, dict.fromkeys(metrics, limit), alpha=alpha)
        if progress.verdict is not None:
            break
    return progress


def gates(machine: Machine, true: float, tries: int, limit: Limit, alpha: float = 0.01) -> list[Progress]:
    rng = np.random.default_rng(1)
    return [
        gate({"p50_ms": pair_ratios(rng, machine, 120, true=true)}, limit, alpha=alpha) for _ in range(tries)
    ]


def test_what_is_spent_grows_as_the_square() -> None:
    assert [spent(0.01, look_) for look_ in (0.2, 0.5, 1.0)] == pytest.approx([0.0004, 0.0025, 0.01])


def test_nominal_levels_spend_alpha_and_no_more() -> None:
    levels = nominal_levels(0.01)
    assert levels[0] == pytest.approx(0.0004, rel=0.01)
    assert list(levels) == sorted(levels)
    shares = np.array(LOOKS)
    steps = np.random.default_rng(0).standard_normal((200_000, 6)) * np.sqrt(np.diff([0, *LOOKS]))
    scaled = np.cumsum(steps, axis=1) / np.sqrt(shares)
    bars = [-NORMAL.inv_cdf(level) for level in levels]
    assert (scaled > bars).any(axis=1).mean() == pytest.approx(0.01, abs=0.001)


def test_no_difference_passes_soon() -> None:
    found = gates(QUIET, 0.0, 20, Limit())
    assert {each.verdict for each in found} == {"pass"}
    assert sum(each.share <= 0.33 for each in found) >= 18


def test_five_percent_is_found_beside_disturbed_blocks() -> None:
    found = gates(DISTURBED, math.log(1.05), 40, Limit())
    assert sum(each.verdict == "regression" for each in found) >= 38


def test_ten_percent_better_is_an_improvement_and_less_than_the_floor_is_none() -> None:
    assert {each.verdict for each in gates(QUIET, -0.1, 10, Limit())} == {"improvement"}
    assert {each.verdict for each in gates(QUIET, -0.015, 10, Limit())} == {"pass"}


def test_without_a_floor_alarms_are_as_many_as_alpha_says() -> None:
    # A limit of -99 % is never passed, so that the test is asked at every look.
    far = Limit(regression=-0.99, floor=0.0)
    alarms = 0
    rng = np.random.default_rng(2)
    for _ in range(150):
        values = pair_ratios(rng, DISTURBED, 120)
        progress = Progress()
        for share in LOOKS:
            seen = round(120 * share)
            statistic = TrimmedMean(tuple(range(seen)), values[:seen])
            progress = look(progress, {"p50_ms": statistic}, SIGNS, share, {"p50_ms": far}, alpha=0.1)
            each = progress.latest["p50_ms"]
            if each.p_worse <= each.level:
                alarms += 1
                break
    # 15 of 150 expected, with a standard deviation of 3.7.
    assert 6 <= alarms <= 25


def test_marked_vectors_are_never_more_than_was_to_be_spent() -> None:
    values = pair_ratios(np.random.default_rng(3), DISTURBED, 120)
    progress = Progress()
    for share in LOOKS:
        statistic = TrimmedMean(tuple(range(round(120 * share))), values[: round(120 * share)])
        progress = look(progress, {"p50_ms": statistic}, SIGNS, share, {"p50_ms": Limit()})
        assert progress.marked.mean() <= spent(0.01, share) + 1e-9
        assert progress.marked.mean() > spent(0.01, share) - 2 / 4000


def test_between_floor_and_limit_either_may_come_and_the_interval_agrees() -> None:
    verdicts = set()
    for each in gates(replace(QUIET, block_sd=0.01), math.log(1.035), 40, Limit()):
        row = each.decided["p50_ms"]
        verdicts.add(row.verdict)
        assert (row.ends[1] <= math.log(1.05)) == (row.verdict == "pass")
        assert row.ends[0] > 0
    assert verdicts == {"pass", "regression"}


def test_under_24_pairs_nothing_is_decided_and_nothing_spent() -> None:
    statistic = TrimmedMean(tuple(range(23)), np.full(23, 0.5))
    progress = look(Progress(), {"p50_ms": statistic}, SIGNS, 0.2, {"p50_ms": Limit()})
    assert (progress.verdict, len(progress.marked)) == (None, 0)
    assert replace(progress, share=1.0).verdict == "inconclusive"


def test_under_the_floor_nothing_is_a_regression_however_sure() -> None:
    # Starts differ by 2 %: the floor is above the limit, and 3 % can't be told from luck.
    found = gates(replace(QUIET, block_sd=0.01), math.log(1.03), 5, Limit(0.02, 0.04))
    assert {each.verdict for each in found} == {"inconclusive"}
    assert all(each.latest["p50_ms"].p_worse <= each.latest["p50_ms"].level for each in found)


def test_too_much_noise_is_inconclusive() -> None:
    assert {each.verdict for each in gates(Machine(block_sd=0.5), 0.0, 5, Limit())} == {"inconclusive"}


def test_one_metric_worse_is_a_regression_of_all() -> None:
    rng = np.random.default_rng(5)
    same, worse = pair_ratios(rng, QUIET, 120), pair_ratios(rng, QUIET, 120, true=0.1)
    found = gate({"p50_ms": same, "throughput_rps": worse})
    assert found.verdict == "regression"
    assert found.decided["throughput_rps"].verdict == "regression"


def test_more_metrics_ask_for_more_of_each() -> None:
    rng = np.random.default_rng(6)
    values = [pair_ratios(rng, QUIET, 120) for _ in range(4)]
    one = gate({"p50_ms": values[0]}, Limit(9.0, 9.0), (1.0,)).latest["p50_ms"]
    four = gate(
        dict(zip(("p50_ms", "p95_ms", "p99_ms", "throughput_rps"), values, strict=True)),
        Limit(0.9, 0.9),
        (1.0,),
    ).latest["p50_ms"]
    same = gate(dict.fromkeys(("p50_ms", "p95_ms"), values[0]), Limit(0.9, 0.9), (1.0,)).latest["p50_ms"]
    assert one.level == pytest.approx(0.01)
    # Four independent metrics: 1 - 0.99^(1/4); one that is asked twice costs nothing.
    assert four.level == pytest.approx(0.0025, rel=0.2)
    assert same.level == pytest.approx(0.01)


def test_the_floor_is_half_the_limit_or_twice_the_spread_between_starts() -> None:
    assert limit_of(0.05) == Limit(0.05, 0.025)
    assert limit_of(0.01) == Limit(0.01, 0.01)
    assert limit_of(0.01, between_starts=0.001) == Limit(0.01, 0.005)
    assert limit_of(0.05, between_starts=0.02) == Limit(0.05, 0.04)
    assert limit_of(0.05, ignore_below=0.0) == Limit(0.05, 0.0)
