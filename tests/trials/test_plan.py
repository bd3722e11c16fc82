from __future__ import annotations

from itertools import pairwise

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.trials.compare.plan import (
    epoch_of,
    fewest_seconds,
    plan_blocks,
    round_order,
    round_seed,
    start_order,
)


def test_fast_services_get_quarter_seconds() -> None:
    plan = plan_blocks({"a": 0.001, "b": 0.002}, 60.0)
    assert (plan.requests, plan.block_s) == (20, {"a": 0.25, "b": 0.25})
    # 0.25 + 0.25 s of load, two requests dropped of each, 50 ms beside each block: 0.606 s.
    assert plan.round_s == pytest.approx(0.606)
    assert plan.rounds == 99


def test_slower_ones_get_twenty_requests_each() -> None:
    plan = plan_blocks({"a": 0.02, "b": 0.04}, 60.0)
    assert plan.block_s == pytest.approx({"a": 0.4, "b": 0.8})
    assert (plan.requests, plan.dropped, plan.rounds) == (20, 2, 42)


def test_where_that_leaves_few_pairs_a_block_has_as_many_requests_as_leave_24() -> None:
    # 24 rounds in 60 s are 2.5 s each, 2.4 s without what is beside the load: a side sends 12, and drops one.
    plan = plan_blocks({"a": 0.1, "b": 0.1}, 60.0)
    assert (plan.requests, plan.dropped, plan.rounds) == (11, 1, 24)


@pytest.mark.parametrize(("budget_s", "slowest_s"), [(60.0, 0.24), (600.0, 2.49)])
def test_too_slow_for_24_pairs_says_what_would_do(budget_s: float, slowest_s: float) -> None:
    both = {"a": slowest_s, "b": slowest_s}
    assert plan_blocks(both, budget_s).requests == 4
    with pytest.raises(ConfigError, match=r"too slow for 24 pairs in .* give it"):
        plan_blocks({name: 1.01 * each for name, each in both.items()}, budget_s)


def test_the_time_that_is_named_does() -> None:
    slow = {"a": 3.0, "b": 1.0, "c": 0.01}
    # 24 rounds of 4 + 1 requests of 3 s and of 1 s, 0.25 s and one request of 10 ms, and three times 50 ms.
    assert fewest_seconds(slow) == pytest.approx(24 * (15 + 5 + 0.26 + 0.15))
    assert plan_blocks(slow, fewest_seconds(slow)).rounds == 24


def test_orders_are_drawn_and_each_hangs_on_its_round_alone() -> None:
    orders = [round_order(("a", "b"), number, 7) for number in range(200)]
    assert orders == [round_order(("a", "b"), number, 7) for number in range(200)]
    assert 70 < sum(order == ("a", "b") for order in orders) < 130
    # No ABBA: after either order each order comes about as often.
    after = [later for earlier, later in pairwise(orders) if earlier == ("a", "b")]
    assert 0.35 < sum(order == ("a", "b") for order in after) / len(after) < 0.65


def test_each_candidate_of_many_comes_at_each_place() -> None:
    names = ("a", "b", "c")
    orders = [round_order(names, number, 1) for number in range(60)]
    assert {(name, place) for order in orders for place, name in enumerate(order)} == {
        (name, place) for name in names for place in range(3)
    }


def test_bodies_are_the_same_within_a_round_and_the_starts_have_coins_of_their_own() -> None:
    assert round_seed(4, 9) == round_seed(4, 9)
    assert len({round_seed(number, 9) for number in range(100)}) == 100
    starts = [start_order(("a", "b"), number, 9) for number in range(100)]
    assert 30 < sum(order == round_order(("a", "b"), n, 9) for n, order in enumerate(starts)) < 70


def test_servers_are_started_anew_at_each_fifth() -> None:
    assert [epoch_of(share) for share in (0.0, 0.19, 0.2, 0.5, 0.8, 1.0)] == [0, 0, 1, 2, 4, 4]
