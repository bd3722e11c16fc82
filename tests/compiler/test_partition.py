"""Segments of a graph: convex, in order, and no more than the changes of kind ask for."""

from __future__ import annotations

import itertools
import random

import pytest

from modeldyno.compiler.fallback.partition import Part, partition


def kinds(parts: list[Part]) -> str:
    return "".join("c" if part.compiled else "f" for part in parts)


def test_a_chain_is_cut_where_its_kind_changes() -> None:
    parts = partition([[], [0], [1], [2], [3]], {2})
    assert parts == [Part((0, 1), True), Part((2,), False), Part((3, 4), True)]


def test_branches_beside_an_operator_that_falls_back_stay_in_one_segment() -> None:
    #   0 -> 1 (fallback) -> 4;  0 -> 2 -> 3 -> 4
    parts = partition([[], [0], [0], [2], [1, 3]], {1})
    assert [part.places for part in parts] == [(0, 2, 3), (1,), (4,)]


def test_operators_that_fall_back_side_by_side_are_one_segment() -> None:
    assert kinds(partition([[], [0], [0], [1, 2]], {1, 2})) == "cfc"


def test_a_branch_that_could_run_first_joins_the_segment_behind_instead() -> None:
    # 0 (fallback) -> 2; 1 -> 2, where 1 reads nothing: two segments, not three.
    parts = partition([[], [], [0, 1]], {0})
    assert [part.places for part in parts] == [(0,), (1, 2)]


def test_a_graph_of_one_kind_is_one_segment() -> None:
    assert partition([[], [], [0]], ()) == [Part((0, 1, 2), True)]
    assert partition([[], [], [0]], {0, 1, 2}) == [Part((0, 1, 2), False)]
    assert partition([], ()) == []


@pytest.mark.parametrize("seed", range(40))
def test_in_any_graph_every_node_runs_once_and_after_what_it_reads(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a graph is no secret
    count = rng.randint(2, 40)
    before = [sorted(rng.sample(range(place), min(place, rng.randint(0, 3)))) for place in range(count)]
    fallback = {place for place in range(count) if rng.random() < 0.3}
    parts = partition(before, fallback)
    assert sorted(itertools.chain.from_iterable(part.places for part in parts)) == list(range(count))
    done: set[int] = set()
    for part in parts:
        assert {place in fallback for place in part.places} == {not part.compiled}
        for place in part.places:
            assert all(other in done or other in part.places for other in before[place])
        done |= set(part.places)
    changes = [0] * count
    for place, earlier in enumerate(before):
        changes[place] = max(
            (changes[other] + ((other in fallback) != (place in fallback)) for other in earlier), default=0
        )
    # A chain that begins with either kind: never more than one segment above the longest.
    assert len(parts) <= max(changes) + 2
