"""Attention in one kernel: softmax(Q K^T * scale + mask) V, the scores never in memory.

For each batch, head and chunk of queries: K^T and V are packed into panels of one column tile each, then
blocks of query rows go through both products by the register tile, with the softmax of their scores between
them in the cache. Where the keys are too many for the cache, they come in blocks, and sums and results are
rescaled to each new maximum ("FlashAttention", Dao et al., NeurIPS 2022; the online softmax is Milakov and
Gimelshein's, 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tvm import tirx

from compiler.schedules.exponential import power_of_e
from compiler.schedules.machine import Machine
from compiler.schedules.panels import Panels, RowBlocks, pack_rows, pack_transposed, write_edge
from compiler.schedules.vectors import (
    Statement,
    allocate,
    load,
    local,
    loop,
    number,
    pieces,
    program,
    register_product,
    sequence,
    spread_lanes,
    store,
)

# Units of work that all cores together should find, at least: few enough that K is not packed too often.
_UNITS = 8
# Most queries of a unit where keys come in blocks: its results stay in the cache between them.
_FLASH_QUERIES = 512
_LOWEST = -3.4028234663852886e38  # of float32: a score that stands for none


@dataclass(frozen=True)
class Sizes:
    """Attention over float32 tensors [batch, queries, heads, depth], keys and values [batch, keys, heads, .].

    `mask` is the shape of what is added to the scores [batch, heads, queries, keys], 1 where it is the same
    along an axis; None without a mask.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    depth: int
    value_depth: int
    mask: tuple[int, int, int, int] | None = None

    @property
    def flops(self) -> int:
        """Multiplies and adds of the two products."""
        points = self.batch * self.heads * self.queries * self.keys
        return 2 * points * (self.depth + self.value_depth)

    def mask_fits(self) -> bool:
        """Whether the mask is one that the kernel can read."""
        if self.mask is None:
            return True
        *lead, keys = self.mask
        sizes = (self.batch, self.heads, self.queries)
        return keys == self.keys and all(dim in (1, size) for dim, size in zip(lead, sizes, strict=True))


def attention(sizes: Sizes, scale: float, machine: Machine, shapes: list[tuple[int, ...]]) -> Any:
    """Tensor program of attention: parameters Q, K, V, the mask if there is one, and the result.

    `shapes` are the parameters' shapes: any with the memory order that Sizes gives ([B, T, H * D], say).
    The error is that of float32 sums of `depth` and `keys` terms, plus 4e-7 relative for each power. A row
    that is masked whole gives the mean of all values.
    """
    kernel = _Kernel(sizes, scale, machine)
    return program(shapes, kernel.body, name="attention", flops=sizes.flops)


@dataclass(frozen=True)
class _Kernel:
    sizes: Sizes
    scale: float
    machine: Machine

    @cached_property
    def key_block(self) -> int:
        """Keys that are at hand at once, a multiple of the vector: all, or as many as the cache holds."""
        lanes, sizes = self.machine.lanes, self.sizes
        per_key = 4 * (sizes.depth + sizes.value_depth + self.machine.most_rows(2 * lanes))
        most = max(2 * lanes, 2 * self.machine.block_bytes // per_key)
        blocks = math.ceil(sizes.keys / most)
        return math.ceil(math.ceil(sizes.keys / blocks) / lanes) * lanes

    @cached_property
    def key_blocks(self) -> int:
        return math.ceil(self.sizes.keys / self.key_block)

    @cached_property
    def scores_tile(self) -> Panels:
        return Panels(self.key_block, self.sizes.depth, self.machine.lanes)

    @cached_property
    def values_tile(self) -> Panels:
        return Panels(self.sizes.value_depth, self.key_block, self.machine.lanes)

    @cached_property
    def row_blocks(self) -> RowBlocks:
        sizes = self.sizes
        rows = self.machine.most_rows(2 * self.machine.lanes)
        blocks = math.ceil(sizes.queries / rows)
        chunks = math.ceil(_UNITS / (sizes.batch * sizes.heads))
        if self.key_blocks > 1:
            chunks = max(chunks, math.ceil(sizes.queries / _FLASH_QUERIES))
        # At least eight blocks a chunk: packing K and V costs as much as one or two of them.
        return RowBlocks(sizes.queries, blocks, min(chunks, max(1, blocks // 8)))

    def body(self, *buffers: Any) -> Statement:
        units = self.sizes.batch * self.sizes.heads * self.row_blocks.chunks
        return loop(units, lambda unit: _Unit(self, list(buffers), unit).run(), parallel=True)


class _Unit:
    """One head of one batch, one chunk of its queries."""

    def __init__(self, kernel: _Kernel, buffers: list[Any], unit: Any) -> None:
        self.kernel, self.sizes, self.lanes = kernel, kernel.sizes, kernel.machine.lanes
        self.query, self.key, self.value, *mask, self.out = buffers
        self.mask = mask[0] if mask else None
        chunks = kernel.row_blocks.chunks
        self.chunk = unit % chunks
        self.head = unit // chunks % self.sizes.heads
        self.batch = unit // chunks // self.sizes.heads
        rows = kernel.row_blocks.most_rows
        self.keys = local(kernel.scores_tile.size, "keys")
        self.values = local(kernel.values_tile.size, "values")
        self.queries = local(rows * self.sizes.depth, "queries")
        self.scores = local(rows * kernel.key_block, "scores")
        self.edge = local(self.lanes, "edge")
        self.tile = local(rows * 2 * self.lanes, "tile")
        self.top, self.row_total = local(self.lanes, "top"), local(self.lanes, "row_total")
        self.row_highest, self.found = local(1, "row_highest"), local(1, "found")
        self.inverse = local(rows, "inverse")
        # Only where keys come in blocks: what is known of each query of the chunk so far.
        chunk_rows = kernel.row_blocks.chunk_rows
        self.flash = kernel.key_blocks > 1
        self.highest = local(chunk_rows, "highest")
        self.total = local(chunk_rows, "total")
        self.sums = local(chunk_rows * kernel.values_tile.padded, "sums")

    def run(self) -> Statement:
        buffers = [self.keys, self.values, self.queries, self.scores]
        if self.flash:
            buffers += [self.highest, self.total, self.sums]
        small = [self.tile, self.edge, self.inverse, self.top, self.row_total, self.row_highest, self.found]
        return sequence([*allocate(buffers), *allocate(small), *self._stages()])

    def _stages(self) -> list[Statement]:
        kernel = self.kernel
        blocks = kernel.row_blocks
        if not self.flash:
            return [*self._pack(0), blocks.each(self.chunk, lambda rows, first: self._rows(rows, first, 0))]
        size = kernel.row_blocks.chunk_rows
        return [
            loop(size, lambda row: store(self.highest, row, number(_LOWEST))),
            loop(size, lambda row: store(self.total, row, number(0))),
            loop(size * kernel.values_tile.padded, lambda place: store(self.sums, place, number(0))),
            loop(kernel.key_blocks, self._key_block),
            blocks.each(self.chunk, self._write_rows),
        ]

    def _key_block(self, block: Any) -> Statement:
        start = block * self.kernel.key_block
        each = self.kernel.row_blocks.each(self.chunk, lambda rows, first: self._rows(rows, first, start))
        return sequence([*self._pack(start), each])

    def _pack(self, start: Any) -> list[Statement]:
        sizes = self.sizes
        left = sizes.keys - start

        def key(step: Any) -> Any:
            place = (self.batch * sizes.keys + start + step) * sizes.heads + self.head
            return place * sizes.depth

        def value(step: Any) -> Any:
            place = (self.batch * sizes.keys + start + step) * sizes.heads + self.head
            return place * sizes.value_depth

        return [
            pack_transposed(self.kernel.scores_tile, self.key, self.keys, key, left),
            pack_rows(self.kernel.values_tile, self.value, self.values, value, self._valid(start)),
        ]

    def _valid(self, start: Any) -> Any:
        """Keys of the block that begins at `start`."""
        return tirx.min(self.kernel.key_block, self.sizes.keys - start) if self.flash else self.sizes.keys

    def _rows(self, rows: int, first: Any, start: Any) -> Statement:
        """One block of query rows from `first`, against the keys from `start`."""
        return sequence(
            [
                self._take_queries(rows, first),
                self._scores(rows),
                loop(rows, lambda row: self._softmax(row, first, start)),
                self._results(rows, first, start),
            ]
        )

    def _take_queries(self, rows: int, first: Any) -> Statement:
        sizes, scale = self.sizes, self.kernel.scale

        def take(row: Any) -> Statement:
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
        tile, lanes, depth = self.kernel.scores_tile, self.lanes, self.sizes.depth

        def panel(index: Any, vectors: int) -> Statement:
            def finish(row: int, vector: int, value: Any) -> Statement:
                at = row * self.kernel.key_block + index * tile.width + vector * lanes
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

    def _softmax(self, row: Any, first: Any, start: Any) -> Statement:
        """Turn a row of scores into powers below their maximum; keep the inverse of their sum."""
        lanes, block = self.lanes, self.kernel.key_block
        base = row * block
        top, total = self.top, self.row_total
        highest, found = self.row_highest, self.found

        def see(place: Any) -> Statement:
            return store(top, 0, tirx.max(load(top, 0, lanes), load(self.scores, base + place, lanes)), lanes)

        def power(place: Any) -> Statement:
            value = load(self.scores, base + place, lanes) - spread_lanes(load(highest, 0), lanes)
            raised = power_of_e(value, lanes)
            return sequence(
                [
                    store(self.scores, base + place, raised, lanes),
                    store(
                        total, 0, load(total, 0, lanes) + load(self.scores, base + place, lanes), lanes
                    ),
                ]
            )

        vectors = block // lanes
        stages = [
            *self._add_mask(row, first, start),
            *self._mask_edge(base, start),
            store(top, 0, number(_LOWEST, lanes), lanes),
            loop(vectors, lambda vector: see(vector * lanes)),
            store(highest, 0, _folded(top, lanes, tirx.max)),
        ]
        known = first + row - self._chunk_start()
        if self.flash:
            stages.append(
                store(highest, 0, tirx.max(load(self.highest, known), load(highest, 0)))
            )
        stages += [
            store(total, 0, number(0, lanes), lanes),
            loop(vectors, lambda vector: power(vector * lanes)),
            store(found, 0, _folded(total, lanes, lambda left, right: left + right)),
        ]
        if not self.flash:
            return sequence([*stages, store(self.inverse, row, number(1) / load(found, 0))])
        decay = power_of_e(load(self.highest, known) - load(highest, 0), 1)
        return sequence(
            [
                *stages,
                # Here `inverse` holds what earlier sums are scaled by.
                store(self.inverse, row, decay),
                store(self.total, known, load(self.total, known) * load(self.inverse, row) + load(found, 0)),
                store(self.highest, known, load(highest, 0)),
            ]
        )

    def _chunk_start(self) -> Any:
        return self.kernel.row_blocks.chunk_start(self.chunk)

    def _add_mask(self, row: Any, first: Any, start: Any) -> list[Statement]:
        if self.mask is None or self.sizes.mask is None:
            return []
        batches, heads, queries, keys = self.sizes.mask
        place: Any = self.batch if batches > 1 else 0
        place = place * heads + (self.head if heads > 1 else 0)
        place = place * queries + (first + row if queries > 1 else 0)
        place = place * keys + start
        base = row * self.kernel.key_block
        mask = self.mask

        def add(at: Any, lanes: int) -> Statement:
            value = load(self.scores, base + at, lanes) + load(mask, place + at, lanes)
            return store(self.scores, base + at, value, lanes)

        if self.flash:
            valid = self._valid(start)
            whole = valid // self.lanes
            return [
                loop(whole, lambda vector: add(vector * self.lanes, self.lanes)),
                loop(valid - whole * self.lanes, lambda rest: add(whole * self.lanes + rest, 1)),
            ]
        whole = keys // self.lanes
        return [
            *([loop(whole, lambda vector: add(vector * self.lanes, self.lanes))] if whole else []),
            *(add(at, lanes) for at, lanes in pieces(keys, self.lanes)[whole:]),
        ]

    def _mask_edge(self, base: Any, start: Any) -> list[Statement]:
        """Scores of the places behind the last key count for nothing."""
        lanes = self.lanes
        least = self.sizes.keys - (self.kernel.key_blocks - 1) * self.kernel.key_block
        whole = least // lanes
        vectors = self.kernel.key_block // lanes

        def cut(vector: Any) -> Statement:
            place = vector * lanes
            lane = tirx.Ramp(place, 1, lanes) if lanes > 1 else place
            inside = lane < spread_lanes(self._key_count(start), lanes)
            value = tirx.Select(inside, load(self.scores, base + place, lanes), number(_LOWEST, lanes))
            return store(self.scores, base + place, value, lanes)

        return [loop(vectors - whole, lambda vector: cut(vector + whole))] if whole < vectors else []

    def _key_count(self, start: Any) -> Any:
        valid = self._valid(start)
        return tirx.const(valid, "int32") if isinstance(valid, int) else valid

    def _results(self, rows: int, first: Any, start: Any) -> Statement:
        tile, lanes, block = self.kernel.values_tile, self.lanes, self.kernel.key_block

        def panel(index: Any, vectors: int) -> Statement:
            def held(row: int, vector: int) -> Any:
                known = first + row - self._chunk_start()
                return known * tile.padded + index * tile.width + vector * lanes

            def finish(row: int, vector: int, value: Any) -> Statement:
                if self.flash:
                    return store(self.sums, held(row, vector), value, lanes)
                value = value * spread_lanes(load(self.inverse, row), lanes)
                return self._write(first + row, index * tile.width + vector * lanes, value)

            def begin(row: int, vector: int) -> Any:
                return load(self.sums, held(row, vector), lanes) * spread_lanes(
                    load(self.inverse, row), lanes
                )

            return register_product(
                (rows, vectors),
                self._valid(start),
                lanes,
                sums=self.tile,
                left=lambda row, k: load(self.scores, row * block + k),
                right=lambda vector, k: load(self.values, tile.place(index, k) + vector * lanes, lanes),
                finish=finish,
                begin=begin if self.flash else None,
            )

        return tile.each(panel)

    def _write_rows(self, rows: int, first: Any) -> Statement:
        tile, lanes = self.kernel.values_tile, self.lanes

        def write(row: Any) -> Statement:
            known = first + row - self._chunk_start()
            inverse = number(1) / load(self.total, known)
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

    def _write(self, query: Any, column: Any, value: Any) -> Statement:
        """Write one vector of a result, or what of it is inside."""
        sizes, lanes = self.sizes, self.lanes
        place = ((self.batch * sizes.queries + query) * sizes.heads + self.head) * sizes.value_depth + column
        room = sizes.value_depth - column if isinstance(column, int) else lanes
        if room < lanes:
            return write_edge(self.out, place, value, self.edge, room, lanes)
        return store(self.out, place, value, lanes)


def _folded(buffer: Any, lanes: int, combine: Any) -> Any:
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
