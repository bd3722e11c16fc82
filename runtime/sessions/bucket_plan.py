"""Which compiled sizes a request of some rows is run in, where it may be run in several pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

MOST_PADDING = 1 / 3  # of a run whose cost nobody measured
# Several pieces must be cheaper than one padded run by more than what a measurement is off.
_WORTH_IT = 0.95


@dataclass(frozen=True)
class Piece:
    """`rows` of a request, run at the compiled size `size`; the rest of it is padding."""

    size: int
    rows: int


def fitting(size: int, sizes: Sequence[int]) -> int | None:
    """Give the smallest of `sizes` that holds `size`; None where none does."""
    return min((each for each in sizes if each >= size), default=None)


def pieces_by_padding(rows: int, sizes: Sequence[int]) -> tuple[Piece, ...]:
    """Split `rows` so that no piece is padded by more than a third, but for one below the smallest size."""
    found: list[Piece] = []
    while rows:
        fit, full = fitting(rows, sizes), max((each for each in sizes if each <= rows), default=None)
        if fit is not None and (full is None or fit - rows <= MOST_PADDING * fit):
            return (*found, Piece(fit, rows))
        full = full or 0  # never: without a size that fits there is a smaller one
        found.append(Piece(full, full))
        rows -= full
    return tuple(found)


def pieces_by_cost(rows: int, costs: Mapping[int, float]) -> tuple[Piece, ...]:
    """Split `rows` in the cheapest way, by what a run of each size costs; in one piece where it is close."""
    largest = max(costs)
    bulk = max(0, rows // largest - 1)  # that much of a large request is certain to go in the largest size
    best = _cheapest(tuple(sorted(costs.items())), rows - bulk * largest)
    fit = fitting(rows, tuple(costs))
    if fit is not None and sum(costs[size] for size in best) > _WORTH_IT * costs[fit]:
        best = (fit,)
    found, left = [], rows
    for size in (*(largest,) * bulk, *best):
        found.append(Piece(size, min(size, left)))
        left -= found[-1].rows
    return tuple(found)


@lru_cache(maxsize=4096)
def _cheapest(costs: tuple[tuple[int, float], ...], rows: int) -> tuple[int, ...]:
    """Give the sizes that together hold `rows` at the least cost, the largest first."""
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for count in range(1, rows + 1):
        ways = (
            (cost + best[max(0, count - size)][0], (size, *best[max(0, count - size)][1]))
            for size, cost in costs
        )
        best.append(min(ways, key=lambda way: (way[0], len(way[1]))))
    return tuple(sorted(best[rows][1], reverse=True))
