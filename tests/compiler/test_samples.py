"""The inputs that parity is checked on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.check.samples import draw, kinds
from modeldyno.compiler.model.input_roles import Facts, Role
from modeldyno.runtime.sessions.feeds import random_feeds


def spec(dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name="x", dtype=dtype, shape=shape)


def drawn(one: TensorSpec, role: Role | None, kind: str, **options: Any) -> Any:
    facts = Facts({"x": role} if role else {}, divides=options.pop("divides", False))
    return draw([one], facts, kind, 0, **options)["x"]


def test_the_first_kind_is_what_was_always_drawn_where_nothing_is_known() -> None:
    specs = (
        TensorSpec(name="x", dtype="float32", shape=(3, 4)),
        TensorSpec(name="n", dtype="int64", shape=(5,)),
    )
    made, before = draw(specs, Facts(), "normal", 7), random_feeds(specs, 7)
    assert all(np.array_equal(made[name], before[name]) for name in before)
    assert made.keys() == before.keys()


@pytest.mark.parametrize("kind", ["normal", "ends", "zeros", "large"])
def test_indices_stay_in_their_extent(kind: str) -> None:
    found = drawn(spec("int64", 50), Role("index", (9,), from_end=True), kind)
    assert found.min() >= -9
    assert found.max() < 9


def test_ends_holds_both_ends_and_negative_ones_where_they_are_legal() -> None:
    both = drawn(spec("int64", 12), Role("index", (9,), from_end=True), "ends")
    assert set(both) == {-9, -1, 0, 1, 7, 8}
    one = drawn(spec("int64", 12), Role("index", (9,)), "ends")
    assert set(one) == {0, 1, 7, 8}
    assert set(drawn(spec("uint8", 12), Role("index", (9,), from_end=True), "ends")) == {0, 1, 7, 8}


def test_coordinates_have_an_extent_each() -> None:
    found = drawn(spec("int64", 40, 2), Role("index", (3, 9)), "ends")
    assert set(found[:, 0]) == {0, 1, 2}
    assert set(found[:, 1]) == {0, 1, 7, 8}


@pytest.mark.parametrize("kind", ["normal", "ends"])
def test_what_is_written_is_written_once(kind: str) -> None:
    along = drawn(spec("int64", 4, 6), Role("index", (8,), from_end=True, unique=1), kind) % 8
    assert all(len(set(row)) == 6 for row in along)
    places = drawn(spec("int64", 10, 2), Role("index", (3, 4), from_end=True, unique=-1), kind)
    assert len({(row[0] % 3, row[1] % 4) for row in places}) == 10


@pytest.mark.parametrize("kind", ["normal", "ends", "zeros"])
def test_a_divisor_is_never_zero(kind: str) -> None:
    found = drawn(spec("int32", 40), Role("whole", divides=True), kind, divides=True)
    assert (found != 0).all()


def test_the_least_number_is_drawn_only_where_nothing_divides() -> None:
    least = np.iinfo(np.int32).min
    assert least in drawn(spec("int32", 40), Role("whole"), "ends")
    assert least not in drawn(spec("int32", 40), Role("whole"), "ends", divides=True)


def test_masks_are_zero_and_minus_infinity_and_leave_something_in_each_row() -> None:
    found = drawn(spec("float32", 5, 20), Role("mask", added=True), "mask")
    assert set(np.unique(found)) == {-np.inf, 0.0}
    assert (found == 0).any(axis=-1).all()
    whole = drawn(spec("int64", 5, 20), Role("mask"), "zeros")
    assert (whole.sum(axis=-1) == 1).all()


def test_images_are_bytes_and_shares_of_one() -> None:
    large = drawn(spec("float32", 1, 3, 16, 16), Role("image"), "image")
    assert large.max() > 200
    assert np.array_equal(large, large.round())
    assert 0.9 < drawn(spec("float32", 1, 3, 16, 16), Role("image"), "unit image").max() <= 1.0


def test_floats_are_large_small_equal_negative_and_zero() -> None:
    found = {kind: drawn(spec("float32", 100), None, kind) for kind in kinds([spec("float32", 100)], Facts())}
    assert list(found) == ["normal", "large", "equal", "negative", "zeros", "tiny"]
    assert np.abs(found["large"]).max() > 1e4
    assert np.abs(found["tiny"]).max() < 1e-3
    assert len(set(found["equal"])) == 1
    assert (found["negative"] < 0).all()
    assert not found["zeros"].any()
    assert np.isfinite(drawn(spec("float16", 100), None, "large")).all()


def test_bools_are_both() -> None:
    one = spec("bool", 6)
    assert [drawn(one, None, kind).sum() for kind in ("equal", "zeros")] == [6, 0]
    assert set(kinds([one], Facts())) >= {"equal", "zeros"}


def test_later_draws_keep_away_from_the_ends_and_differ() -> None:
    role = Role("index", (100,), from_end=True)
    assert (drawn(spec("int64", 30), role, "ends", attempt=2) >= 0).all()
    assert drawn(spec("int64", 300), role, "normal", attempt=2).max() < 50
    assert set(drawn(spec("int64", 300), role, "ends", attempt=3)) == {0, 1}
    first, second = (drawn(spec("int64", 30), role, "ends", attempt=attempt) for attempt in (0, 1))
    assert not np.array_equal(first, second)
