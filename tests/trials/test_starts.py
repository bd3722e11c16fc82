from __future__ import annotations

import math

import numpy as np
import pytest

from modeldyno.loadgen.stats.intervals import NORMAL_975
from modeldyno.trials.compare.starts import (
    Spread,
    Start,
    between_starts,
    between_starts_of_rounds,
    starts_of,
    trimmed_error,
    widened,
)

NOTHING = Spread(0.0, 0)


def test_the_spread_by_hand() -> None:
    # Squares around the means: 2 * 0.01^2 and 2 * 0.02^2 with one freedom each.
    groups = [[Start(0.02, 0.0), Start(0.0, 0.0)], [Start(0.07, 0.0), Start(0.03, 0.0)]]
    found = between_starts(groups, NOTHING)
    assert found.freedoms == 2
    assert found.sd == pytest.approx(math.sqrt((0.0002 + 0.0008) / 2))


def test_what_blocks_explain_is_no_spread() -> None:
    assert between_starts([[Start(0.01, 0.02), Start(-0.01, 0.02)]], NOTHING).sd == 0.0


def test_what_was_known_before_counts_by_its_freedoms() -> None:
    found = between_starts([[Start(0.02, 0.0), Start(0.0, 0.0)]], Spread(0.01, 3))
    assert found.sd == pytest.approx(math.sqrt((3 * 0.0001 + 0.0002) / 4))
    assert found.freedoms == 4
    assert between_starts([[Start(0.1, 0.0)]], Spread(0.01, 3)) == Spread(0.01, 3)


def test_the_spread_of_a_simulated_machine_is_found() -> None:
    rng = np.random.default_rng(0)
    groups = []
    for _ in range(60):
        starts = 0.01 * rng.standard_normal(5)
        values = np.repeat(starts, 20) + 0.02 * rng.standard_normal(100)
        groups.append(starts_of(values, [int(each) for each in np.repeat(range(5), 20)]))
    assert between_starts(groups, NOTHING).sd == pytest.approx(0.01, rel=0.1)


def test_rounds_of_many_candidates_show_what_their_starts_differ_by() -> None:
    rng, epochs = np.random.default_rng(1), [int(each) for each in np.repeat(range(20), 10)]
    found = []
    for _ in range(20):
        starts = 0.01 * rng.standard_normal((3, 20))
        logs = starts[:, epochs] + 0.02 * rng.standard_normal((3, 200)) + rng.standard_normal(200)
        named = {f"c{place}": row + place for place, row in enumerate(logs)}
        named["c2"][:3] = np.nan
        found.append(between_starts_of_rounds(named, epochs, NOTHING))
    assert {each.freedoms for each in found} == {38}
    # Of a ratio of two: the root of 2 times one start's 1 %. Blocks explain a third of what is seen.
    assert math.sqrt(np.mean([each.sd**2 for each in found])) == pytest.approx(0.0141, rel=0.1)


def test_two_candidates_by_hand() -> None:
    # Their ratio is 0.04 in one epoch and 0.02 in the other: a variance of 0.0002 with one freedom.
    logs = {"a": np.zeros(8), "b": np.repeat([0.04, 0.02], 4)}
    found = between_starts_of_rounds(logs, [0] * 4 + [1] * 4, NOTHING)
    assert found.freedoms == 1
    assert found.sd == pytest.approx(math.sqrt(0.0002))
    assert between_starts_of_rounds(logs, [0] * 8, Spread(0.01, 3)) == Spread(0.01, 3)


def test_the_error_of_a_trimmed_mean() -> None:
    # 8 values: 2 left out at each end, winsorised to 3, 3, 3, 4, 5, 6, 6, 6; squares 14 around 4.5.
    values = np.array([1.0, 2, 3, 4, 5, 6, 70, 80])
    assert trimmed_error(values) == pytest.approx(math.sqrt(14 / (4 * 3)))


def test_an_interval_between_runs_is_wider_by_the_root_of_squares() -> None:
    spread = Spread(0.01, 10_000)
    low, high = widened(0.05, (0.02, 0.09), spread, 4)
    added = NORMAL_975 * 0.01 / 2
    assert (low, high) == pytest.approx(
        (0.05 - math.hypot(0.03, added), 0.05 + math.hypot(0.04, added)), rel=1e-4
    )
    few = widened(0.05, (0.02, 0.09), Spread(0.01, 4), 4)
    assert few[0] < low
