"""The register-tile rule: sums of a tile of rows * columns stay in registers while the reduction runs.

Loop order: batch, then row and column tiles (which of them first: see _tile_output), shared among the cores;
then the whole reduction; then the tile, its rows unrolled and its columns in vectors. The element-wise tail
that follows (bias, activation, residual) is computed on the tile before it is written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modeldyno.compiler.loops.borders import needless_padding, skip_borders
from modeldyno.compiler.loops.common import (
    extent,
    is_spatial,
    iteration_kinds,
    marked_block,
    new_schedule,
    schedule_spatial,
    spread,
)
from modeldyno.compiler.loops.epilogue import find_tail, form_tail
from modeldyno.compiler.loops.loops import own_variables, rewrite_loops
from modeldyno.compiler.loops.marks import (
    BORDERS,
    OVERLAP,
    PACKED,
    ROWS,
    SPREAD,
    STEPS,
    TAPS,
    TILE,
    TILE_START,
    WEIGHTS,
)
from modeldyno.compiler.loops.overlap import overlap_rows
from modeldyno.compiler.loops.prefetch import fetch_tile, fetch_weights
from modeldyno.compiler.rules.inline import inline_where_possible
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    from tvm import s_tir, tirx
    from tvm.s_tir.schedule import LoopRV, SBlockRV

# Reductions up to this many steps are unrolled whole: the 3 * 3 of a filter, the 3 channels of an image.
UNROLL_STEPS = 9


def tile_applies(func: tirx.PrimFunc, _machine: Machine) -> bool:
    """Whether one block carries TILE, and what follows it can be computed on its sums."""
    sch = new_schedule(func)
    main = marked_block(sch, TILE)
    return main is not None and find_tail(sch, main, _padding(sch, main)) is not None


def register_tile(func: tirx.PrimFunc, machine: Machine) -> tirx.PrimFunc:
    """Schedule a function around its one block that carries TILE."""
    sch = new_schedule(func)
    main = marked_block(sch, TILE)
    rows, columns = (int(size) for size in sch.get(main).annotations[TILE])
    padding = _padding(sch, main)
    found = find_tail(sch, main, padding)
    assert found is not None  # noqa: S101 - tile_applies saw to it
    borders = needless_padding(sch, main, padding, rows)
    if borders and inline_where_possible(sch, padding[0]):
        padding = []
    else:
        borders = None
    tail = form_tail(sch, found)
    blocks = _column_blocks(sch, main, columns, machine)
    channels = extent(sch, sch.get_loops(tail)[-1])
    trips, walked = _tile_output(sch, tail, (rows, columns), blocks, machine)
    sch.compute_at(main, trips[-1], preserve_unit_loops=True)
    steps, first_sum, chunk = _order_tile(sch, main, machine, marked=bool(borders))
    if chunk is not None:
        sch.annotate(chunk.loop, SPREAD, [chunk.steps])
        if blocks and chunk.steps == STEPS:
            sch.annotate(chunk.loop, WEIGHTS, [columns, blocks[0], rows, *walked])
    around = spread(sch, trips, steps_inside=steps)
    across = blocks[0] if blocks else math.ceil(channels / columns)
    sch.annotate(around, TILE_START, [rows, columns, across, machine.l2_bytes])
    if walked[-1] % rows:
        sch.annotate(around, OVERLAP, [rows, walked[-1], channels if channels % columns else 0])
    if borders:
        sch.annotate(around, BORDERS, [rows, *borders])
    # After all else: a loop of a decomposed sum can be neither split, shared nor put in vectors.
    sch.decompose_reduction(main, first_sum)
    for block in (*padding, *found.rest):
        schedule_spatial(sch, block, machine.lanes)
    handlers = {OVERLAP: overlap_rows, BORDERS: skip_borders, TILE_START: fetch_tile, WEIGHTS: fetch_weights}
    return own_variables(rewrite_loops(sch.mod["main"], handlers))


def _padding(sch: s_tir.Schedule, main: SBlockRV) -> list[SBlockRV]:
    """Blocks in front of a sum that pad what it reads."""
    return [block for block in sch.get_producers(main) if is_spatial(sch, block)]


def _column_blocks(sch: s_tir.Schedule, main: SBlockRV, columns: int, machine: Machine) -> list[int]:
    """Column tiles whose weights a core keeps at hand while it walks all rows: [of a block], or [] for all.

    Only weights that were packed are walked in blocks: they lie one column tile after the other.
    """
    kinds = iteration_kinds(sch, main)
    loops = sch.get_loops(main)
    tiles = extent(sch, loops[kinds.count(0) - 1]) // columns
    panel_bytes = 4 * columns * math.prod(extent(sch, loop) for loop in loops[kinds.count(0) :])
    fitting = max(1, machine.block_bytes // panel_bytes)
    if PACKED not in sch.get(main).annotations:
        return []
    fitting = int(sch.get(main).annotations[PACKED]) or fitting
    if tiles <= fitting:
        return []
    return [max(size for size in range(1, fitting + 1) if tiles % size == 0)]


def _tile_output(
    sch: s_tir.Schedule, tail: SBlockRV, tile: tuple[int, int], blocks: list[int], machine: Machine
) -> tuple[list[LoopRV], list[int]]:
    """Tile the loops of the tail; give the loops outside a tile, outermost first, and the sizes of the rows.

    A block of columns goes outermost: its weights stay in the second-level cache while all rows are walked.
    Inside it the column tiles go innermost: a row tile's input stays in the first level, and the output is
    written from left to right.
    """
    rows, columns = tile
    *outer, row, column = sch.get_loops(tail)
    walked = [extent(sch, loop) for loop in (*outer, row)]
    row_outer, row_inner = sch.split(row, [None, rows])
    column_block, column_outer, column_inner = sch.split(
        column, [None, *(blocks or [math.ceil(extent(sch, column) / columns)]), columns]
    )
    trips = [column_block, *outer, row_outer, column_outer]
    sch.reorder(*trips, row_inner, column_inner)
    vectorize_tile(sch, row_inner, column_inner, machine)
    return trips, walked


@dataclass(frozen=True)
class _Chunk:
    """A loop around so many reduction steps: where there is time for a few prefetches."""

    loop: LoopRV
    steps: int


def _order_tile(
    sch: s_tir.Schedule, main: SBlockRV, machine: Machine, *, marked: bool
) -> tuple[int, LoopRV, _Chunk | None]:
    """Order the loops of one tile.

    Gives its number of multiply-adds, its outermost reduction loop, and the loop around a chunk of its steps.
    """
    kinds = iteration_kinds(sch, main)
    loops = sch.get_loops(main)[-len(kinds) :]
    steps = math.prod(extent(sch, loop) for loop in loops)
    *unit, row, column = loops[: kinds.count(0)]
    reductions = loops[kinds.count(0) :]
    sch.reorder(*unit, *reductions, row, column)
    vectorize_tile(sch, row, column, machine)
    if marked:
        sch.annotate(reductions[1], TAPS, [1])
        sch.annotate(row, ROWS, [1])
    chunk, reductions = _chunk(sch, reductions)
    _unroll_short(sch, reductions)
    return steps, reductions[0], chunk


def _chunk(sch: s_tir.Schedule, reductions: list[LoopRV]) -> tuple[_Chunk | None, list[LoopRV]]:
    """Find or make the loop around a chunk of steps; gives it, if there is one, and all reduction loops."""
    sizes = [extent(sch, loop) for loop in reductions]
    if sizes[-1] % STEPS == 0:
        outer, inner = sch.split(reductions[-1], [None, STEPS])
        return _Chunk(outer, STEPS), [*reductions[:-1], outer, inner]
    if len(sizes) > 1 and sizes[-1] <= UNROLL_STEPS < sizes[-2] * sizes[-1]:
        return _Chunk(reductions[-2], sizes[-1]), reductions
    return None, reductions


def _unroll_short(sch: s_tir.Schedule, reductions: list[LoopRV]) -> None:
    steps = 1
    for loop in reversed(reductions):
        steps *= extent(sch, loop)
        if steps > UNROLL_STEPS:
            return
        sch.unroll(loop)


def vectorize_tile(sch: s_tir.Schedule, row: LoopRV, column: LoopRV, machine: Machine) -> None:
    """Unroll the rows of a tile, and put its columns in vectors."""
    sch.unroll(row)
    vectors, lane = sch.split(column, [None, machine.lanes])
    sch.unroll(vectors)
    sch.vectorize(lane)
