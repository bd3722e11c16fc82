"""In which compiled sizes a request is run, where rows may be split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldyno.runtime.sessions.bucket_plan import Piece, pieces_by_cost, pieces_by_padding

POWERS = (1, 2, 4, 8)
LINEAR = {size: float(size) for size in POWERS}
FLAT = dict.fromkeys(POWERS, 1.0)


@pytest.mark.parametrize(
    ("rows", "pieces"),
    [
        (1, [(1, 1)]),
        (3, [(4, 3)]),  # a quarter is padding
        (5, [(4, 4), (1, 1)]),  # three eighths would be
        (6, [(8, 6)]),
        (17, [(8, 8), (8, 8), (1, 1)]),
        (22, [(8, 8), (8, 8), (8, 6)]),
    ],
)
def test_without_times_no_more_than_a_third_of_a_run_is_padding(
    rows: int, pieces: list[tuple[int, int]]
) -> None:
    assert [(piece.size, piece.rows) for piece in pieces_by_padding(rows, POWERS)] == pieces


def test_fewer_rows_than_the_smallest_size_are_padded_however_much() -> None:
    assert pieces_by_padding(1, (4, 8)) == (Piece(4, 1),)
    assert pieces_by_padding(9, (4, 8)) == (Piece(8, 8), Piece(4, 1))


@pytest.mark.parametrize(
    ("rows", "costs", "pieces"),
    [
        (5, LINEAR, [(4, 4), (1, 1)]),  # 5 against 8
        (5, FLAT, [(8, 5)]),  # 1 against 2
        (7, LINEAR, [(4, 4), (2, 2), (1, 1)]),  # 7 against 8
        (3, {1: 1.0, 4: 3.1}, [(4, 3)]),  # 3.0 against 3.1: too close to split
        (19, LINEAR, [(8, 8), (8, 8), (2, 2), (1, 1)]),
        (3, {2: 1.0, 8: 5.0}, [(2, 2), (2, 1)]),
    ],
)
def test_with_times_the_cheapest_way_is_taken(
    rows: int, costs: dict[int, float], pieces: list[tuple[int, int]]
) -> None:
    assert [(piece.size, piece.rows) for piece in pieces_by_cost(rows, costs)] == pieces


@given(
    rows=st.integers(1, 300),
    costs=st.dictionaries(st.integers(1, 40), st.floats(0.01, 100), min_size=1, max_size=6),
)
def test_the_pieces_are_the_request_and_each_fits_its_size(rows: int, costs: dict[int, float]) -> None:
    for pieces in (pieces_by_cost(rows, costs), pieces_by_padding(rows, tuple(sorted(costs)))):
        assert sum(piece.rows for piece in pieces) == rows
        assert all(0 < piece.rows <= piece.size in costs for piece in pieces)
