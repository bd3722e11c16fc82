"""Products of two activations: for each batch, a panel of the right operand packed, then all rows against it.

Both operands are read where they lie, by strides: a transposed or head-split operand costs no copy in memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.panels import Panels, RowBlocks, pack_rows, pack_transposed, write_edge
from modeldyno.compiler.loops.vectors import (
    allocate,
    load,
    local,
    loop,
    program,
    register_product,
    store,
)
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    from tvm import tirx

# Units of work that all cores together should find, at least.
_UNITS = 8


@dataclass(frozen=True)
class Strided:
    """How an operand [..., row, column] lies: numbers from one index to the next, 0 for a broadcast."""

    lead: tuple[int, ...]
    row: int
    column: int


@dataclass(frozen=True)
class Product:
    """Matrix products [*lead, height, depth] * [*lead, depth, width]."""

    lead: tuple[int, ...]
    height: int
    depth: int
    width: int
    left: Strided
    right: Strided

    def can_pack(self) -> bool:
        """Whether the right operand has an axis along which its numbers lie side by side."""
        return 1 in (self.right.row, self.right.column)


def product(sizes: Product, machine: Machine, shapes: list[tuple[int, ...]]) -> tirx.PrimFunc:
    """Tensor program of a product: parameters left, right and the result, of any `shapes` as they lie."""
    kernel = _Kernel(sizes, machine)
    flops = 2 * math.prod(sizes.lead) * sizes.height * sizes.depth * sizes.width
    return program(shapes, kernel.body, name="product", flops=flops)


@dataclass(frozen=True)
class _Kernel:
    sizes: Product
    machine: Machine

    @cached_property
    def panels(self) -> Panels:
        return Panels(self.sizes.width, self.sizes.depth, self.machine.lanes)

    @cached_property
    def row_blocks(self) -> RowBlocks:
        blocks = math.ceil(self.sizes.height / self.machine.most_rows(self.panels.width))
        chunks = math.ceil(_UNITS / math.prod(self.sizes.lead))
        # At least eight blocks a chunk: packing costs as much as one or two of them.
        return RowBlocks(self.sizes.height, blocks, min(chunks, max(1, blocks // 8)))

    def body(self, left: tirx.Buffer, right: tirx.Buffer, out: tirx.Buffer) -> Statement:
        chunks = self.row_blocks.chunks

        def unit(number: tirx.Expr) -> Statement:
            batch = number // chunks
            parts = _Unit(self, (left, right, out), batch, number % chunks)
            return parts.run()

        return loop(math.prod(self.sizes.lead) * chunks, unit, parallel=True)


class _Unit:
    """One batch, one chunk of rows."""

    def __init__(
        self,
        kernel: _Kernel,
        buffers: tuple[tirx.Buffer, tirx.Buffer, tirx.Buffer],
        batch: tirx.Expr,
        chunk: tirx.Expr,
    ) -> None:
        self.kernel, self.sizes, self.lanes = kernel, kernel.sizes, kernel.machine.lanes
        self.left, self.right, self.out = buffers
        self.batch, self.chunk = batch, chunk
        self.left_start = _start(batch, self.sizes.lead, self.sizes.left.lead)
        self.right_start = _start(batch, self.sizes.lead, self.sizes.right.lead)
        self.panel = local(kernel.panels.width * self.sizes.depth, "panel")
        self.tile = local(kernel.row_blocks.most_rows * kernel.panels.width, "tile")
        self.edge = local(self.lanes, "edge")

    def run(self) -> Statement:
        return sequence([*allocate([self.panel, self.tile, self.edge]), self.kernel.panels.each(self._panel)])

    def _panel(self, index: tirx.Expr | int, vectors: int) -> Statement:
        first = index * self.kernel.panels.width
        columns = min(self.kernel.panels.width, self.sizes.width - first) if isinstance(first, int) else None
        packed = Panels(columns or self.kernel.panels.width, self.sizes.depth, self.lanes)
        right = self.sizes.right
        base = self.right_start + first * right.column
        if right.column == 1:
            pack = pack_rows(
                packed, self.right, self.panel, lambda step: base + step * right.row, self.sizes.depth
            )
        else:
            pack = pack_transposed(
                packed, self.right, self.panel, lambda column: base + column * right.column, packed.columns
            )
        rows = self.kernel.row_blocks.each(
            self.chunk, lambda count, row: self._tile((count, vectors), row, first, packed)
        )
        return sequence([pack, rows])

    def _tile(
        self, tile: tuple[int, int], row: tirx.Expr | int, first: tirx.Expr | int, packed: Panels
    ) -> Statement:
        sizes, lanes = self.sizes, self.lanes
        start = self.left_start + row * sizes.left.row
        written = (self.batch * sizes.height + row) * sizes.width + first

        def finish(step: int, vector: int, value: tirx.Expr) -> Statement:
            place = written + step * sizes.width + vector * lanes
            room = packed.columns - vector * lanes
            if room < lanes:
                return write_edge(self.out, place, value, edge=self.edge, room=room, lanes=lanes)
            return store(self.out, place, value, lanes)

        return register_product(
            tile,
            sizes.depth,
            lanes,
            sums=self.tile,
            left=lambda step, k: load(self.left, start + step * sizes.left.row + k * sizes.left.column),
            right=lambda vector, k: load(self.panel, packed.place(0, k) + vector * lanes, lanes),
            finish=finish,
        )


def _start(batch: tirx.Expr, sizes: tuple[int, ...], strides: tuple[int, ...]) -> tirx.Expr | int:
    """Where a batch of an operand begins: batch counted over all leading axes."""
    start: tirx.Expr | int = 0
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        start = start + batch % size * stride
        batch = batch // size
    return start
