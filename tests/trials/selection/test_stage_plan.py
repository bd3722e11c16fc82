from __future__ import annotations

import pytest

from modeldyno.trials.selection.plan import StagePlan, finals_wanted, plan_stage, too_slow, with_samples


def test_fast_cells_get_whole_blocks_and_as_many_rounds_as_fit() -> None:
    plan = plan_stage({"a@1": 0.001, "b@1": 0.002}, budget_s=30.0, wanted=24)
    assert (plan.requests, plan.dropped) == (20, 2)
    # Two blocks of 0.25 s, their dropped requests and 0.05 s of overhead each.
    assert plan.rounds == int(30.0 / (2 * 0.3 + 2 * 0.003))


def test_slow_cells_get_smaller_blocks_so_that_enough_rounds_are_left() -> None:
    plan = plan_stage({"a@1": 0.1, "b@1": 0.1}, budget_s=40.0, wanted=24)
    assert 4 <= plan.requests < 20
    assert plan.rounds >= 24
    assert plan.seconds <= 40.0


def test_a_screening_has_no_more_rounds_than_it_needs() -> None:
    assert plan_stage({"a@1": 0.001}, budget_s=100.0, wanted=6, most=6).rounds == 6


def test_however_short_the_time_there_are_five_rounds() -> None:
    assert plan_stage({"a@1": 0.01}, budget_s=0.1, wanted=6).rounds == 5


def test_finals_last_until_percentiles_can_be_stated_within_what_a_cell_may_have() -> None:
    assert finals_wanted({"a@1": 0.1}, budget_s=5.0, min_samples=368, longest_s=60.0) == pytest.approx(36.8)
    assert finals_wanted({"a@1": 1.0}, budget_s=5.0, min_samples=368, longest_s=60.0) == 60.0
    assert finals_wanted({"a@1": 0.001}, budget_s=50.0, min_samples=368, longest_s=60.0) == 50.0


def test_rounds_are_added_for_the_samples_that_percentiles_need_while_there_is_time() -> None:
    plan = StagePlan(requests=13, dropped=1, block_s=0.25, rounds=24, seconds=48.0)
    assert with_samples(plan, 368, most_s=100.0).rounds == 29
    assert with_samples(plan, 368, most_s=100.0).seconds == pytest.approx(58.0)
    assert with_samples(plan, 368, most_s=50.0).rounds == 25
    assert with_samples(plan, 100, most_s=100.0) == plan


def test_what_is_too_slow_is_told_with_the_time_that_would_do() -> None:
    assert too_slow(0.5, longest_s=60.0) == ""
    # Five blocks of 4 requests of 10 s, one dropped each, 0.05 s besides.
    assert "give load.max_duration_s so much" in too_slow(10.0, longest_s=60.0)
    assert "take 251 s" in too_slow(10.0, longest_s=60.0)
