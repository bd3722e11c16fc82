"""The softmax inside an attention kernel: rows of scores in the cache become powers below their maximum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from modeldyno.compiler.kernels.attention.plan import LOWEST, NO_SCORE, Plan
from modeldyno.compiler.loops.exponential import power_of_e
from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.vectors import (
    load,
    local,
    loop,
    number,
    pieces,
    spread_lanes,
    store,
)

# Running maxima and sums of a row: each waits for the one before it, so two take turns.
_WAYS = 2


@dataclass(frozen=True)
class Place:
    """Where a block of scores stands: batch, head, first query, that query in its chunk, first key."""

    batch: tirx.Expr | int
    head: tirx.Expr | int
    first: tirx.Expr | int
    known: tirx.Expr | int
    start: tirx.Expr | int


class RowSoftmax:
    """Softmax of the rows in the buffer `scores`; `mask` is the flat mask, if there is one.

    After `row`, `factor` holds for each row of the block the inverse of its sum; or, where keys come in
    blocks, what earlier sums are scaled by, while `carried_highest` and `carried_total` hold the maximum and
    the sum of each query of the chunk so far.
    """

    def __init__(self, plan: Plan, scores: tirx.Buffer, mask: tirx.Buffer | None) -> None:
        self.plan, self.scores, self.mask = plan, scores, mask
        self.lanes = plan.machine.lanes
        rows, chunk_rows = plan.row_blocks.most_rows, plan.row_blocks.chunk_rows
        self.factor = local(rows, "factor")
        self.top, self.sum = local(_WAYS * self.lanes, "top"), local(_WAYS * self.lanes, "sum")
        self.highest, self.found = local(1, "highest"), local(1, "found")
        self.carried_highest, self.carried_total = local(chunk_rows, "highest"), local(chunk_rows, "total")

    @property
    def buffers(self) -> list[tirx.Buffer]:
        """What has to be allocated."""
        carried = [self.carried_highest, self.carried_total] if self.plan.in_blocks else []
        return [self.factor, self.top, self.sum, self.highest, self.found, *carried]

    def row(self, row: tirx.Expr | int, place: Place) -> Statement:
        """Turn a row of scores into powers below their maximum, and keep what is known of their sum."""
        known = place.known + row
        stages = [
            *self._see_scores(row, place),
            store(self.highest, 0, _folded(self.top, self.lanes, tirx.max)),
        ]
        if self.plan.in_blocks:
            before = load(self.carried_highest, known)
            stages.append(store(self.highest, 0, tirx.max(before, load(self.highest, 0))))
        stages += [
            *self._raise(row * self.plan.key_block),
            store(self.found, 0, _folded(self.sum, self.lanes, lambda left, right: left + right)),
        ]
        return sequence([*stages, *(self._carry(row, known) if self.plan.in_blocks else [self._invert(row)])])

    def _invert(self, row: tirx.Expr | int) -> Statement:
        return store(self.factor, row, inverse_sum(load(self.highest, 0), load(self.found, 0)))

    def _carry(self, row: tirx.Expr | int, known: tirx.Expr | int) -> list[Statement]:
        before, highest = load(self.carried_highest, known), load(self.highest, 0)
        total = load(self.carried_total, known) * load(self.factor, row) + load(self.found, 0)
        return [
            store(self.factor, row, power_of_e(_finite(before) - _finite(highest), 1)),
            store(self.carried_total, known, total),
            store(self.carried_highest, known, highest),
        ]

    def _see_scores(self, row: tirx.Expr | int, place: Place) -> list[Statement]:
        """Add the mask to a row, and keep the highest of what comes out in each lane of `top`."""
        plan, lanes, base = self.plan, self.lanes, row * self.plan.key_block
        least = plan.sizes.keys - (plan.key_blocks - 1) * plan.key_block
        whole, vectors = least // lanes, plan.key_block // lanes
        mask = self._mask_start(row, place)

        def add(at: tirx.Expr | int, lanes: int) -> Statement:
            value = load(self.scores, base + at, lanes) + load(self.mask, mask + at, lanes)
            return store(self.scores, base + at, value, lanes)

        def see(at: tirx.Expr | int, way: int) -> Statement:
            value = tirx.max(load(self.top, way * lanes, lanes), load(self.scores, base + at, lanes))
            return store(self.top, way * lanes, value, lanes)

        def each(vector: tirx.Expr | int, way: int) -> Statement:
            masked = [] if mask is None else [add(vector * lanes, lanes)]
            return sequence([*masked, see(vector * lanes, way)])

        def last(vector: tirx.Expr | int) -> Statement:
            return sequence([self._cut(base, vector * lanes, place.start), see(vector * lanes, 0)])

        edge: list[Statement] = []
        if mask is not None and whole < vectors:
            edge = (
                [loop(plan.valid(place.start) - whole * lanes, lambda rest: add(whole * lanes + rest, 1))]
                if plan.in_blocks
                else [add(at, part) for at, part in pieces(least, lanes)[whole:]]
            )
        if whole < vectors:
            edge.append(loop(vectors - whole, lambda vector: last(vector + whole)))
        combined = tirx.max(load(self.top, 0, lanes), load(self.top, lanes, lanes))
        return [
            *(store(self.top, way * lanes, number(NO_SCORE, lanes), lanes) for way in range(_WAYS)),
            *_in_turn(whole, each),
            *edge,
            store(self.top, 0, combined, lanes),
        ]

    def _raise(self, base: tirx.Expr) -> list[Statement]:
        """Replace the scores of a row by their powers; `sum` keeps the sum of each lane."""
        lanes = self.lanes
        highest = _finite(load(self.highest, 0))

        def power(vector: tirx.Expr | int, way: int) -> Statement:
            at = base + vector * lanes
            value = load(self.scores, at, lanes) - spread_lanes(highest, lanes)
            total = load(self.sum, way * lanes, lanes) + load(self.scores, at, lanes)
            return sequence(
                [
                    store(self.scores, at, power_of_e(value, lanes), lanes),
                    store(self.sum, way * lanes, total, lanes),
                ]
            )

        combined = load(self.sum, 0, lanes) + load(self.sum, lanes, lanes)
        return [
            *(store(self.sum, way * lanes, number(0, lanes), lanes) for way in range(_WAYS)),
            *_in_turn(self.plan.key_block // lanes, power),
            store(self.sum, 0, combined, lanes),
        ]

    def _mask_start(self, row: tirx.Expr | int, place: Place) -> Any:
        """Where the mask of a row begins; None without a mask."""
        if self.mask is None or self.plan.sizes.mask is None:
            return None
        batches, heads, queries, keys = self.plan.sizes.mask
        begin: Any = place.batch if batches > 1 else 0
        begin = begin * heads + (place.head if heads > 1 else 0)
        begin = begin * queries + (place.first + row if queries > 1 else 0)
        return begin * keys + place.start

    def _cut(self, base: tirx.Expr, at: tirx.Expr | int, start: tirx.Expr | int) -> Statement:
        """Scores of the places behind the last key count for nothing."""
        lanes, valid = self.lanes, self.plan.valid(start)
        count = tirx.const(valid, "int32") if isinstance(valid, int) else valid
        lane = tirx.Ramp(at, 1, lanes) if lanes > 1 else at
        score = load(self.scores, base + at, lanes)
        value = tirx.Select(lane < spread_lanes(count, lanes), score, number(NO_SCORE, lanes))
        return store(self.scores, base + at, value, lanes)


def inverse_sum(highest: tirx.Expr, total: tirx.Expr) -> tirx.Expr:
    """What the powers of a row are scaled by: no number where every key is masked, as in the source model."""
    return tirx.Select(highest >= number(LOWEST), number(1) / total, number(math.nan))


def _finite(highest: tirx.Expr) -> tirx.Expr:
    # -inf - -inf would be no number, also where a later block of keys has some; max of a NaN stays one.
    return tirx.max(number(LOWEST), highest)


def _in_turn(count: int, emit: Callable[[tirx.Expr | int, int], Statement]) -> list[Statement]:
    """emit(vector, way) for `count` vectors, the ways taking turns."""
    rounds, rest = divmod(count, _WAYS)

    def once(number: tirx.Expr) -> Statement:
        return sequence([emit(number * _WAYS + way, way) for way in range(_WAYS)])

    return [
        *([loop(rounds, once)] if rounds else []),
        *(emit(rounds * _WAYS + way, way) for way in range(rest)),
    ]


def _folded(
    buffer: tirx.Buffer, lanes: int, combine: Callable[[tirx.Expr, tirx.Expr], tirx.Expr]
) -> tirx.Expr:
    """One number of all lanes of a vector, halved by shuffles."""
    value = load(buffer, 0, lanes)
    while lanes > 1:
        lanes //= 2
        low = [tirx.const(lane, "int32") for lane in range(lanes)]
        high = [tirx.const(lane + lanes, "int32") for lane in range(lanes)]
        if lanes == 1:
            return combine(tirx.Shuffle([value], low), tirx.Shuffle([value], high))
        value = combine(tirx.Shuffle([value], low), tirx.Shuffle([value], high))
    return value
