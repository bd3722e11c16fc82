"""Attention in one kernel: softmax(Q K^T * scale + mask) V, the scores never in memory.

For each batch, head and chunk of queries: K^T and V are packed into panels of one column tile each, then
blocks of query rows go through both products by the register tile, with the softmax of their scores between
them in the cache. Where the keys are too many for the cache, they come in blocks, and sums and results are
rescaled to each new maximum ("FlashAttention", Dao et al., NeurIPS 2022; the online softmax is Milakov and
Gimelshein's, 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.compiler.kernels.attention.plan import NO_SCORE, Plan, Sizes
from modeldyno.compiler.kernels.attention.softmax import Place, RowSoftmax, inverse_sum
from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.panels import pack_rows, pack_transposed, write_edge
from modeldyno.compiler.loops.vectors import (
    allocate,
    load,
    local,
    loop,
    number,
    pieces,
    program,
    register_product,
    spread_lanes,
    store,
)
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    from tvm import tirx


def attention(sizes: Sizes, scale: float, machine: Machine, shapes: list[tuple[int, ...]]) -> tirx.PrimFunc:
    """Tensor program of attention: parameters Q, K, V, the mask if there is one, and the result.

    `shapes` are the parameters' shapes: any with the memory order that Sizes gives ([B, T, H * D], say).
    The error is that of float32 sums of `depth` and `keys` terms, plus 4e-7 relative for each power. A row
    that is masked whole gives the mean of all values.
    """
    plan = Plan(sizes, scale, machine)
    units = sizes.batch * sizes.heads * plan.row_blocks.chunks

    def body(*buffers: tirx.Buffer) -> Statement:
        return loop(units, lambda unit: _Unit(plan, list(buffers), unit).run(), parallel=True)

    return program(shapes, body, name="attention", flops=sizes.flops)


class _Unit:
    """One head of one batch, one chunk of its queries."""

    def __init__(self, plan: Plan, buffers: list[tirx.Buffer], unit: tirx.Expr) -> None:
        self.plan, self.sizes, self.lanes = plan, plan.sizes, plan.machine.lanes
        self.query, self.key, self.value, *mask, self.out = buffers
        chunks = plan.row_blocks.chunks
        self.chunk = unit % chunks
        self.head = unit // chunks % self.sizes.heads
        self.batch = unit // chunks // self.sizes.heads
        rows = plan.row_blocks.most_rows
        self.keys = local(plan.scores_tile.size, "keys")
        self.values = local(plan.values_tile.size, "values")
        self.queries = local(rows * self.sizes.depth, "queries")
        self.scores = local(rows * plan.key_block, "scores")
        self.edge = local(self.lanes, "edge")
        self.tile = local(rows * 2 * self.lanes, "tile")
        self.softmax = RowSoftmax(plan, self.scores, mask[0] if mask else None)
        # Only where keys come in blocks: the results of each query of the chunk so far.
        self.sums = local(plan.row_blocks.chunk_rows * plan.values_tile.padded, "sums")

    def run(self) -> Statement:
        buffers = [self.keys, self.values, self.queries, self.scores, self.tile, self.edge]
        carried = [self.sums] if self.plan.in_blocks else []
        return sequence([*allocate([*buffers, *self.softmax.buffers, *carried]), *self._stages()])

    def _stages(self) -> list[Statement]:
        plan = self.plan
        blocks = plan.row_blocks
        if not self.plan.in_blocks:
            return [*self._pack(0), blocks.each(self.chunk, lambda rows, first: self._rows(rows, first, 0))]
        size = plan.row_blocks.chunk_rows
        return [
            loop(size, lambda row: store(self.softmax.carried_highest, row, number(NO_SCORE))),
            loop(size, lambda row: store(self.softmax.carried_total, row, number(0))),
            loop(size * plan.values_tile.padded, lambda place: store(self.sums, place, number(0))),
            loop(plan.key_blocks, self._key_block),
            blocks.each(self.chunk, self._write_rows),
        ]

    def _key_block(self, block: tirx.Expr) -> Statement:
        start = block * self.plan.key_block
        each = self.plan.row_blocks.each(self.chunk, lambda rows, first: self._rows(rows, first, start))
        return sequence([*self._pack(start), each])

    def _pack(self, start: tirx.Expr | int) -> list[Statement]:
        sizes = self.sizes
        left = sizes.keys - start

        def key(step: tirx.Expr | int) -> tirx.Expr:
            place = (self.batch * sizes.keys + start + step) * sizes.heads + self.head
            return place * sizes.depth

        def value(step: tirx.Expr | int) -> tirx.Expr:
            place = (self.batch * sizes.keys + start + step) * sizes.heads + self.head
            return place * sizes.value_depth

        return [
            pack_transposed(self.plan.scores_tile, self.key, self.keys, key, left),
            pack_rows(self.plan.values_tile, self.value, self.values, value, self.plan.valid(start)),
        ]

    def _rows(self, rows: int, first: tirx.Expr | int, start: tirx.Expr | int) -> Statement:
        """One block of query rows from `first`, against the keys from `start`."""
        known = first - self._chunk_start()
        place = Place(self.batch, self.head, first, known, start)
        return sequence(
            [
                self._take_queries(rows, first),
                self._scores(rows),
                loop(rows, lambda row: self.softmax.row(row, place)),
                self._results(rows, first, start),
            ]
        )

    def _take_queries(self, rows: int, first: tirx.Expr | int) -> Statement:
        sizes, scale = self.sizes, self.plan.scale

        def take(row: tirx.Expr | int) -> Statement:
            place = ((self.batch * sizes.queries + first + row) * sizes.heads + self.head) * sizes.depth
            return sequence(
                [
                    store(
                        self.queries,
                        row * sizes.depth + at,
                        load(self.query, place + at, lanes) * number(scale, lanes),
                        lanes,
                    )
                    for at, lanes in pieces(sizes.depth, self.lanes)
                ]
            )

        return loop(rows, take)

    def _scores(self, rows: int) -> Statement:
        tile, lanes, depth = self.plan.scores_tile, self.lanes, self.sizes.depth

        def panel(index: tirx.Expr | int, vectors: int) -> Statement:
            def finish(row: int, vector: int, value: tirx.Expr) -> Statement:
                at = row * self.plan.key_block + index * tile.width + vector * lanes
                return store(self.scores, at, value, lanes)

            return register_product(
                (rows, vectors),
                depth,
                lanes,
                sums=self.tile,
                left=lambda row, k: load(self.queries, row * depth + k),
                right=lambda vector, k: load(self.keys, tile.place(index, k) + vector * lanes, lanes),
                finish=finish,
            )

        return tile.each(panel)

    def _chunk_start(self) -> tirx.Expr | int:
        return self.plan.row_blocks.chunk_start(self.chunk)

    def _results(self, rows: int, first: tirx.Expr | int, start: tirx.Expr | int) -> Statement:
        tile, lanes, block = self.plan.values_tile, self.lanes, self.plan.key_block

        def panel(index: tirx.Expr | int, vectors: int) -> Statement:
            def held(row: int, vector: int) -> tirx.Expr:
                known = first + row - self._chunk_start()
                return known * tile.padded + index * tile.width + vector * lanes

            def finish(row: int, vector: int, value: tirx.Expr) -> Statement:
                if self.plan.in_blocks:
                    return store(self.sums, held(row, vector), value, lanes)
                value = value * spread_lanes(load(self.softmax.factor, row), lanes)
                return self._write(first + row, index * tile.width + vector * lanes, value)

            def begin(row: int, vector: int) -> tirx.Expr:
                return load(self.sums, held(row, vector), lanes) * spread_lanes(
                    load(self.softmax.factor, row), lanes
                )

            return register_product(
                (rows, vectors),
                self.plan.valid(start),
                lanes,
                sums=self.tile,
                left=lambda row, k: load(self.scores, row * block + k),
                right=lambda vector, k: load(self.values, tile.place(index, k) + vector * lanes, lanes),
                finish=finish,
                begin=begin if self.plan.in_blocks else None,
            )

        return tile.each(panel)

    def _write_rows(self, rows: int, first: tirx.Expr | int) -> Statement:
        tile, lanes = self.plan.values_tile, self.lanes

        def write(row: tirx.Expr | int) -> Statement:
            known = first + row - self._chunk_start()
            highest = load(self.softmax.carried_highest, known)
            inverse = inverse_sum(highest, load(self.softmax.carried_total, known))
            return sequence(
                [
                    self._write(
                        first + row,
                        at,
                        load(self.sums, known * tile.padded + at, lanes) * spread_lanes(inverse, lanes),
                    )
                    for at in range(0, tile.padded, lanes)
                ]
            )

        return loop(rows, write)

    def _write(self, query: tirx.Expr | int, column: tirx.Expr | int, value: tirx.Expr) -> Statement:
        """Write one vector of a result, or what of it is inside."""
        sizes, lanes = self.sizes, self.lanes
        place = ((self.batch * sizes.queries + query) * sizes.heads + self.head) * sizes.value_depth + column
        room = sizes.value_depth - column if isinstance(column, int) else lanes
        if room < lanes:
            return write_edge(self.out, place, value, edge=self.edge, room=room, lanes=lanes)
        return store(self.out, place, value, lanes)
