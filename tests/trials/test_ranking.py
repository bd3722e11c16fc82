from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.compare.simulate import DISTURBED, Machine, block_logs
from modeldyno.trials.compare.latencies import Floats
from modeldyno.trials.compare.ranking import Ranking, rank_rounds, settling, student
from modeldyno.trials.compare.starts import Spread

NO_SPREAD = Spread(0.0, 1000)


def ranked(logs: Floats, spread: Spread = NO_SPREAD, starts: int = 2) -> Ranking:
    named = {f"c{place}": row for place, row in enumerate(logs)}
    return rank_rounds(named, dict.fromkeys(named, starts), spread)


def simulated(rng: np.random.Generator, true: list[float], rounds: int) -> Floats:
    return block_logs(rng, DISTURBED, len(true), rounds, 2) + np.array(true)[:, None]


def test_a_clear_winner_and_how_far_the_others_are() -> None:
    ranking = ranked(simulated(np.random.default_rng(0), [0.0, 0.1, 0.3], 60))
    assert ranking.winner == "c0"
    first, second, third = ranking.rows
    assert first.high < 0 < second.low
    # The winner's distance to the next is the next one's distance to the winner.
    assert (first.estimate, first.low, first.high) == pytest.approx(
        (-second.estimate, -second.high, -second.low), abs=0.01
    )
    assert third.low < 0.3 < third.high
    assert settling(ranking, 60.0) is None


def test_two_alike_are_not_told_apart_and_what_would_do_it() -> None:
    ranking = ranked(simulated(np.random.default_rng(1), [0.0, 0.004, 0.3], 60))
    assert ranking.winner is None
    assert set(ranking.not_told_apart) == {"c0", "c1"}
    found = settling(ranking, 60.0)
    assert found is not None
    assert {found.first, found.second} == {"c0", "c1"}
    assert found.factor > 1
    assert found.seconds == pytest.approx(60 * (found.factor - 1))


def test_an_estimate_lies_in_its_interval() -> None:
    rng = np.random.default_rng(2)
    for true in ([0.0, 0.0], [0.0, 0.01, 0.02, 0.03], [0.0] * 6):
        for row in ranked(simulated(rng, true, 24)).rows:
            assert row.low <= row.estimate <= row.high


def test_all_intervals_hold_at_once() -> None:
    rng, true = np.random.default_rng(3), [0.0, 0.01, 0.03, 0.2]
    best_of_others = {
        name: true[i] - min(true[:i] + true[i + 1 :]) for i, name in enumerate(("c0", "c1", "c2", "c3"))
    }
    for rounds in (5, 12, 40):
        held = 0
        for _ in range(60):
            rows = ranked(simulated(rng, true, rounds)).rows
            held += all(row.low <= best_of_others[row.candidate] <= row.high for row in rows)
        # 57 of 60 expected, with a standard deviation of 1.7.
        assert held >= 52


def test_the_best_is_hardly_ever_excluded() -> None:
    rng = np.random.default_rng(4)
    assert sum(ranked(simulated(rng, [0.0] * 5, 30)).winner is not None for _ in range(60)) <= 5


def test_starts_that_differ_make_ties() -> None:
    logs = simulated(np.random.default_rng(5), [0.0, 0.03], 100)
    assert ranked(logs).winner == "c0"
    assert ranked(logs, Spread(0.03, 1000)).winner is None
    assert ranked(logs, Spread(0.03, 1000), starts=50).winner == "c0"


def test_two_rounds_are_wide() -> None:
    quantiles = [student(1.959964, freedoms) for freedoms in (1, 2, 3, 29)]
    assert quantiles == pytest.approx([12.706, 4.303, 3.182, 2.045], rel=0.01)
    logs = np.array([[0.0, 0.001], [0.01, 0.021]])
    assert ranked(logs).winner is None


def test_candidates_that_left_early_are_compared_by_the_rounds_they_were_in() -> None:
    logs = simulated(np.random.default_rng(6), [0.0, 0.05, 2.0], 60)
    logs[2, 8:] = np.nan
    ranking = ranked(logs)
    assert ranking.winner == "c0"
    assert [row.candidate for row in ranking.rows] == ["c0", "c1", "c2"]


def test_candidates_that_never_met_exclude_nobody() -> None:
    logs = block_logs(np.random.default_rng(7), Machine(), 2, 20, 2)
    logs[0, :10], logs[1, 10:] = np.nan, np.nan
    ranking = ranked(logs)
    assert set(ranking.not_told_apart) == {"c0", "c1"}
    assert all(math.isnan(row.estimate) and row.high == math.inf for row in ranking.rows)
    found = settling(ranking, 60.0)
    assert found is not None
    assert found.seconds == math.inf


def test_more_confidence_is_wider() -> None:
    logs = {f"c{i}": row for i, row in enumerate(simulated(np.random.default_rng(9), [0.0, 0.05, 0.3], 40))}
    starts = dict.fromkeys(logs, 2)
    usual, sure = (rank_rounds(logs, starts, NO_SPREAD, confidence=share).rows for share in (0.95, 0.999))
    assert all(b.low < a.low and a.high < b.high for a, b in zip(usual, sure, strict=True))


def test_a_lone_candidate_wins() -> None:
    assert ranked(np.zeros((1, 5))).winner == "c0"


def test_the_seed_decides() -> None:
    logs = simulated(np.random.default_rng(8), [0.0, 0.01], 30)
    assert ranked(logs) == ranked(logs)
