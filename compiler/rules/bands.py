"""The rule for Winograd convolutions: a band of patches at a time, its transforms in cache.

Loop order: bands of patch rows; for each, the inputs are transformed once; then column tiles, and for each
the (m + 2)^2 products of all patches of the band, whose results stay in cache until the outputs are
transformed back and the element-wise tail is applied. Many bands are shared among the cores; of a few, the
inputs are transformed together and the column tiles are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.compiler.loops.common import (
    extent,
    marked_block,
    new_schedule,
    root_blocks,
    schedule_spatial,
    spread,
)
from modeldyno.compiler.loops.epilogue import Tail, find_tail, form_tail
from modeldyno.compiler.loops.loops import rewrite_loops
from modeldyno.compiler.loops.marks import OVERLAP, STEPS, WEIGHTS, WINOGRAD
from modeldyno.compiler.loops.overlap import overlap_rows
from modeldyno.compiler.loops.prefetch import LINE_FLOATS, fetch_weights
from modeldyno.compiler.rules.tile import vectorize_tile
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    from tvm import s_tir, tirx
    from tvm.s_tir.schedule import LoopRV, SBlockRV

# With fewer bands than this they can't be shared evenly.
SHARED_BANDS = 8
PAGE_FLOATS = 1024  # the sets of a first-level cache come again after 4 KiB


def winograd_applies(func: tirx.PrimFunc, _machine: Machine) -> bool:
    """Whether one block carries WINOGRAD, and what follows can be computed on the outputs of a patch."""
    sch = new_schedule(func)
    product = marked_block(sch, WINOGRAD)
    return product is not None and _find_tail(sch, product, _named_blocks(sch)) is not None


def winograd_bands(func: tirx.PrimFunc, machine: Machine) -> tirx.PrimFunc:
    """Schedule a function around its one block that carries WINOGRAD."""
    sch = new_schedule(func)
    product = marked_block(sch, WINOGRAD)
    side, rows, columns, band = (int(size) for size in sch.get(product).annotations[WINOGRAD])
    stages = _named_blocks(sch)
    turned, half, patch = (stages[f"winograd_{name}"] for name in ("input", "half", "patch"))
    narrow, full = stages["winograd_narrow"], stages["winograd_output"]
    found = _find_tail(sch, product, stages)
    assert found is not None  # noqa: S101 - winograd_applies saw to it
    tail = form_tail(sch, found)
    loops = _tile_tail(sch, tail, (side, columns, band), machine)
    _back(sch, (full, narrow), loops[-1])
    shared = extent(sch, loops[0]) * extent(sch, loops[1]) >= SHARED_BANDS
    first_sum = _products(sch, product, loops[2], (rows, columns), machine)
    _spread_planes(sch, turned)
    if shared:
        sch.compute_at(turned, loops[1], preserve_unit_loops=True)
    trips = _forward(sch, (turned, half, patch), machine)
    if shared:
        spread(sch, loops[:2], steps_inside=1 << 20)
    else:
        spread(sch, trips, steps_inside=1 << 20)
        spread(sch, loops[:3], steps_inside=1 << 20)
    # After all else: a loop of a decomposed sum can be neither split, shared nor put in vectors.
    sch.decompose_reduction(product, first_sum)
    for block in found.rest:
        schedule_spatial(sch, block, machine.lanes)
    return rewrite_loops(sch.mod["main"], {OVERLAP: overlap_rows, WEIGHTS: fetch_weights})


def _named_blocks(sch: s_tir.Schedule) -> dict[str, SBlockRV]:
    return {str(sch.get(block).name_hint): block for block in root_blocks(sch)}


def _find_tail(sch: s_tir.Schedule, product: SBlockRV, stages: dict[str, SBlockRV]) -> Tail | None:
    before = [stages[f"winograd_{name}"] for name in ("patch", "half", "input", "narrow")]
    return find_tail(sch, stages["winograd_output"], [*before, product])


def _tile_tail(
    sch: s_tir.Schedule, tail: SBlockRV, sizes: tuple[int, int, int], machine: Machine
) -> list[LoopRV]:
    """Cut the tail's loops; give (image, band, column tile, patch row, patch, vector), outermost first."""
    side, columns, band = sizes
    image, height, width, column = sch.get_loops(tail)
    band_loop, patch_row, y = sch.split(height, [None, band, side])
    patch, x = sch.split(width, [None, side])
    column_tile, vector, lane = sch.split(column, [None, columns // machine.lanes, machine.lanes])
    loops = [image, band_loop, column_tile, patch_row, patch, vector]
    sch.reorder(*loops, y, x, lane)
    sch.unroll(y)
    sch.unroll(x)
    sch.vectorize(lane)
    return loops


def _back(sch: s_tir.Schedule, stages: tuple[SBlockRV, SBlockRV], around: LoopRV) -> None:
    """Compute the outputs of one patch and one vector of channels in registers."""
    full, narrow = stages
    for block in (full, narrow):
        sch.set_scope(block, 0, "local")
        sch.compute_at(block, around, preserve_unit_loops=True)
        _unrolled(sch, block)


def _unrolled(sch: s_tir.Schedule, block: SBlockRV) -> None:
    """Unroll the loops of a block that lie inside its place, the last one in vectors."""
    count = len(list(sch.get(block).iter_vars))
    *outer, last = sch.get_loops(block)[-count:]
    for loop in outer:
        sch.unroll(loop)
    sch.vectorize(last)


def _products(
    sch: s_tir.Schedule, product: SBlockRV, around: LoopRV, tile: tuple[int, int], machine: Machine
) -> LoopRV:
    """Order the products of a band, for each point tiles of patches * channels; give the sum's loop."""
    rows, columns = tile
    copy = sch.cache_write(product, 0, "local")
    _spread_planes(sch, copy)
    sch.compute_at(copy, around, preserve_unit_loops=True)
    image, i, j, patch, column = sch.get_loops(copy)[-5:]
    walked = extent(sch, patch)
    outer, row = sch.split(patch, [None, rows])
    sch.reorder(image, i, j, outer, row, column)
    vectorize_tile(sch, row, column, machine)
    sch.compute_at(product, outer, preserve_unit_loops=True)
    *_, patch, column, ic = sch.get_loops(product)
    chunk, step = sch.split(ic, [None, STEPS])
    sch.reorder(chunk, step, patch, column)
    sch.unroll(step)
    vectorize_tile(sch, patch, column, machine)
    sch.annotate(chunk, WEIGHTS, [columns, 1, rows, walked])
    if walked % rows:
        sch.annotate(outer, OVERLAP, [rows, walked, 0])
    return chunk


def _spread_planes(sch: s_tir.Schedule, block: SBlockRV) -> None:
    """Move the planes of a transformed tensor apart by a cache line each.

    A patch touches all planes at one place. At strides of a power of two all of these lines would compete for
    one set of the cache.
    """
    sch.storage_align(block, 0, axis=2, factor=PAGE_FLOATS, offset=LINE_FLOATS)


def _forward(
    sch: s_tir.Schedule, stages: tuple[SBlockRV, SBlockRV, SBlockRV], machine: Machine
) -> list[LoopRV]:
    """Transform the inputs patch by patch, a vector of channels at a time; give the loops around."""
    turned, half, patch = stages
    count = len(list(sch.get(turned).iter_vars))
    image, i, j, place, channel = sch.get_loops(turned)[-count:]
    vector, lane = sch.split(channel, [None, machine.lanes])
    trips = [image, place, vector]
    sch.reorder(*trips, i, j, lane)
    sch.unroll(i)
    sch.unroll(j)
    sch.vectorize(lane)
    for block in (half, patch):
        sch.set_scope(block, 0, "local")
        sch.compute_at(block, vector, preserve_unit_loops=True)
        _unrolled(sch, block)
    return trips
