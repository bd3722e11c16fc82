from __future__ import annotations

import math
from pathlib import Path

from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.providers.base import Order
from modeldyno.trials.selection.chosen import choose
from modeldyno.trials.selection.contenders import Contender, cell_name, contender_of, users_of
from tests.recommender.tiny import instance, planned
from tests.trials.selection.made import rounds


def contender(key: str, anchor: str = "") -> Contender:
    kind = instance()
    order = Order(planned(kind).candidate, kind, Path("m.onnx"), Path(f"{key}.log"), 1.0)
    levels = (LoadSpec(url="", users=1), LoadSpec(url="", users=4))
    return Contender(key, order, levels, anchor or key)


def cost(_: str, block: Block) -> float:
    return math.log(block.seconds / block.requests)


def test_a_cells_name_says_who_and_how_many_users() -> None:
    assert contender_of(cell_name("c7a.large_compiled_t2_w1", 4)) == "c7a.large_compiled_t2_w1"
    assert users_of(cell_name("a", 16)) == 16


def test_those_that_can_be_best_go_on_with_the_baseline_they_are_compared_with() -> None:
    means = {"base@1": 2000.0, "fast@1": 1000.0, "near@1": 1005.0, "slow@1": 5000.0}
    everyone = [
        contender("base"),
        contender("fast", "base"),
        contender("near", "base"),
        contender("slow", "slow"),
    ]
    chosen = choose(rounds(means, 6), everyone, cost, lambda _: True, seed=0)
    assert set(chosen.cells) == {"base@1", "fast@1", "near@1"}
    assert chosen.ranking is not None
    slow = next(row for row in chosen.ranking.rows if row.candidate == "slow")
    assert slow.estimate > slow.low > 0


def test_a_level_that_cannot_be_the_best_of_its_candidate_is_left_out() -> None:
    means = {"a@1": 2000.0, "a@4": 1000.0, "b@1": 2010.0, "b@4": 1010.0}
    chosen = choose(rounds(means, 6), [contender("a"), contender("b")], cost, lambda _: True, seed=0)
    assert set(chosen.cells) == {"a@4", "b@4"}
    assert chosen.best == {"a": "a@4", "b": "b@4"}


def test_a_level_that_misses_a_limit_is_no_level() -> None:
    means = {"a@1": 2000.0, "a@4": 1000.0}
    chosen = choose(rounds(means, 6), [contender("a")], cost, lambda cell: cell != "a@4", seed=0)
    assert chosen.cells == ("a@1",)


def test_where_none_may_meet_the_limits_there_are_no_finals() -> None:
    chosen = choose(rounds({"a@1": 1000.0}, 6), [contender("a")], cost, lambda _: False, seed=0)
    assert chosen.cells == ()
    assert chosen.ranking is None


def test_the_second_goes_on_with_a_clear_winner() -> None:
    means = {"a@1": 1000.0, "b@1": 2000.0, "c@1": 4000.0}
    everyone = [contender(key) for key in "abc"]
    assert set(choose(rounds(means, 6), everyone, cost, lambda _: True, seed=0).cells) == {"a@1", "b@1"}


def test_no_more_than_four_go_on() -> None:
    means = {f"{key}@1": 1000.0 for key in "abcdefg"}
    everyone = [contender(key) for key in "abcdefg"]
    assert len(choose(rounds(means, 6), everyone, cost, lambda _: True, seed=0).cells) == 4
