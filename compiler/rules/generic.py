"""The last rule: each block of a function scheduled for itself, in vectors, shared among the cores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tvm import tirx
from tvm.sym import detect_linear_equation

from modeldyno.compiler.loops.common import (
    extent,
    is_reduction,
    is_spatial,
    iteration_kinds,
    new_schedule,
    root_blocks,
    schedule_spatial,
    spread,
)
from modeldyno.compiler.rules.inline import inline_where_possible
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    from tvm import s_tir
    from tvm.s_tir.schedule import LoopRV, SBlockRV

_PARTITION = "pragma_loop_partition_hint"


def blocks_apply(func: tirx.PrimFunc, _machine: Machine) -> bool:
    """Whether all loops run a fixed number of times, and none of them never: a tensor may be empty."""
    sch = new_schedule(func)
    loops = [loop for block in root_blocks(sch) for loop in sch.get_loops(block)]
    extents = [sch.get(loop).extent for loop in loops]
    return all(isinstance(size, tirx.IntImm) and int(size) > 0 for size in extents)


def per_block(func: tirx.PrimFunc, machine: Machine) -> tirx.PrimFunc:
    """Schedule each block for itself."""
    sch = new_schedule(func)
    _inline_single_use(sch)
    for block in root_blocks(sch):
        _schedule_block(sch, block, machine)
    return sch.mod["main"]


def _inline_single_use(sch: s_tir.Schedule) -> None:
    """Element-wise work that one block reads is computed there; what several read is computed once."""
    for block in root_blocks(sch):
        if is_spatial(sch, block) and len(sch.get_consumers(block)) == 1:
            consumer = sch.get_consumers(block)[0]
            # A block read many times over by a reduction (the padding of a pooling) stays a stage of its own.
            reads = is_spatial(sch, consumer) or _is_row_reduction(sch, consumer)
            # What is spread over many elements (a gate for each channel) is computed before, not for each.
            if reads and steps_of(sch, consumer) < 4 * steps_of(sch, block):
                inline_where_possible(sch, block)


def _schedule_block(sch: s_tir.Schedule, block: SBlockRV, machine: Machine) -> None:
    if is_spatial(sch, block):
        crossed = _crossed_axis(sch, block)
        if crossed is None:
            schedule_spatial(sch, block, machine.lanes)
        else:
            _schedule_transpose(sch, block, crossed)
    elif is_reduction(sch, block):
        if _is_row_reduction(sch, block):
            _schedule_row_sum(sch, block, machine)
        else:
            _schedule_column_sum(sch, block, machine)


def _crossed_axis(sch: s_tir.Schedule, block: SBlockRV) -> int | None:
    """Which axis of the block walks along contiguous memory in what it reads; None when it is the last one.

    Of what it reads, only tensors count that are at least as large as what it writes.
    """
    node = sch.get(block)
    if not node.writes:  # an opaque block says nothing of what it reads and writes
        return None
    axes = [axis.var for axis in node.iter_vars]
    written = math.prod(int(size) for size in node.writes[0].source.shape)
    for region in node.reads:
        if math.prod(int(size) for size in region.source.shape) < written or not len(region.region):
            continue
        factors = detect_linear_equation(region.region[-1].min, axes)
        steps = [int(factor) if isinstance(factor, tirx.IntImm) else 0 for factor in factors[:-1]]
        wide = [index for index, step in enumerate(steps) if step == 1 and extent_of(node, index) > 1]
        if len(wide) == 1 and wide[0] != len(axes) - 1 and extent_of(node, len(axes) - 1) >= 8:
            return wide[0]
    return None


def steps_of(sch: s_tir.Schedule, block: SBlockRV) -> int:
    """Times that a block runs."""
    return math.prod(extent(sch, loop) for loop in sch.get_loops(block))


def extent_of(node: s_tir.SBlock, index: int) -> int:
    """Size of a block's axis."""
    return int(node.iter_vars[index].dom.extent)


def _schedule_transpose(sch: s_tir.Schedule, block: SBlockRV, crossed: int) -> None:
    """Squares of both axes: each cache line that is read or written is used whole while it is at hand."""
    loops = sch.get_loops(block)
    across, column = loops[crossed], loops[-1]
    others = [loop for index, loop in enumerate(loops[:-1]) if index != crossed]
    across_outer, across_inner = sch.split(across, [None, _side(extent(sch, across))])
    column_outer, column_inner = sch.split(column, [None, _side(extent(sch, column))])
    sch.reorder(*others, across_outer, column_outer, across_inner, column_inner)
    steps = extent(sch, across_inner) * extent(sch, column_inner)
    sch.unroll(across_inner)
    sch.vectorize(column_inner)
    spread(sch, [*others, across_outer, column_outer], steps_inside=steps)


def _side(size: int) -> int:
    """Side of a square: the longest up to a cache line of 16 numbers that divides the axis."""
    return max(side for side in range(1, 17) if size % side == 0)


def vectorize_column(sch: s_tir.Schedule, column: LoopRV, lanes: int) -> None:
    """Put a loop over contiguous elements in vectors; what is left over becomes one shorter vector.

    The loop must stay inside those around it: one that carries the hints can be neither fused nor shared.
    """
    size = extent(sch, column)
    if size <= lanes:
        sch.vectorize(column)
        return
    if size % lanes and str(sch.get(column).loop_var.ty) != "int32":
        return  # the hints below are lost while TVM narrows a longer loop; LLVM makes vectors of this one
    outer, lane = sch.split(column, [None, lanes])
    sch.vectorize(lane)
    if size % lanes:
        # TVM's loop partition takes the ragged end out of both loops, so that no lane is tested.
        sch.annotate(outer, _PARTITION, 1)
        sch.annotate(lane, _PARTITION, 1)


def vector_width(size: int, lanes: int) -> int:
    """Elements of one vector operation over `size` contiguous ones: a divisor of `size`; 1 when none is good.

    LLVM splits a vector of any length into the machine's own, so 58 = 3 * 16 + 8 + 2 lanes are four
    instructions and no loop has a remainder.
    """
    divisors = [width for width in range(1, min(size, 4 * lanes) + 1) if size % width == 0]
    best = min(divisors, key=lambda width: (math.ceil(width / lanes) / width, width))
    return best if math.ceil(best / lanes) * lanes <= 2 * best else 1


def _is_row_reduction(sch: s_tir.Schedule, block: SBlockRV) -> bool:
    """Whether the innermost reduction axis walks along contiguous memory in what is read."""
    if not is_reduction(sch, block):
        return False
    node = sch.get(block)
    innermost = node.iter_vars[len(node.iter_vars) - 1].var
    written = node.writes[0].source
    reads = [region for region in node.reads if not region.source.same_as(written)]
    return bool(reads) and all(
        region.region[-1].min.same_as(innermost) for region in reads if len(region.region)
    )


def _schedule_row_sum(sch: s_tir.Schedule, block: SBlockRV, machine: Machine) -> None:
    """Sum along contiguous memory: as many partial sums as a vector has lanes, added up at the end."""
    kinds = iteration_kinds(sch, block)
    loops = sch.get_loops(block)
    spatial, reductions = loops[: kinds.count(0)], loops[kinds.count(0) :]
    inner = extent(sch, reductions[-1])
    # TVM can't split a sum of everything into partial sums.
    if not spatial or inner % machine.lanes or inner == machine.lanes or len(loops) != len(kinds):
        _share_rows(sch, spatial, math.prod(extent(sch, loop) for loop in reductions))
        return
    _, lane = sch.split(reductions[-1], [None, machine.lanes])
    partial = sch.rfactor(lane, len(spatial))
    # Loops of the partial block: the spatial ones, then the reduction with `lane` innermost.
    sch.vectorize(sch.get_loops(partial)[-1])
    init = sch.decompose_reduction(partial, sch.get_loops(partial)[len(spatial)])
    sch.vectorize(sch.get_loops(init)[-1])
    _share_rows(sch, sch.get_loops(block)[: len(spatial)], machine.lanes)
    _share_rows(sch, sch.get_loops(partial)[: len(spatial)], inner)


def _share_rows(sch: s_tir.Schedule, spatial: list[LoopRV], steps: int) -> None:
    if spatial:
        spread(sch, spatial, steps_inside=steps)


def _schedule_column_sum(sch: s_tir.Schedule, block: SBlockRV, machine: Machine) -> None:
    """Sum across contiguous memory (pooling, a mean over pixels): vectors of columns stay in registers."""
    kinds = iteration_kinds(sch, block)
    loops = sch.get_loops(block)
    spatial, reductions = loops[: kinds.count(0)], loops[kinds.count(0) :]
    if not spatial or len(loops) != len(kinds):
        return
    steps = math.prod(extent(sch, loop) for loop in reductions)
    size = extent(sch, spatial[-1])
    if size % machine.lanes:
        _share_rows(sch, spatial, steps)
        return
    copy = sch.cache_write(block, 0, "global")
    *outer, column = sch.get_loops(copy)
    column_outer, lane = sch.split(column, [None, machine.lanes])
    sch.vectorize(lane)
    sch.compute_at(block, column_outer, preserve_unit_loops=True)
    inner = sch.get_loops(block)[-len(kinds) :]
    sums, tile = inner[kinds.count(0) :], inner[: kinds.count(0)]
    sch.reorder(*tile[:-1], *sums, tile[-1])
    sch.vectorize(tile[-1])
    spread(sch, [*outer, column_outer], steps_inside=steps * machine.lanes)
    # After all else: a loop of a decomposed sum can be neither split, shared nor put in vectors.
    sch.decompose_reduction(block, sums[0])
