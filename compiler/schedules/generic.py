"""The last rule: each block of a function scheduled for itself, in vectors, shared among the cores."""

from __future__ import annotations

import math
from typing import Any

from compiler.schedules.common import (
    extent,
    is_reduction,
    is_spatial,
    iteration_kinds,
    new_schedule,
    root_blocks,
    schedule_spatial,
    spread,
    try_inline,
)
from compiler.schedules.machine import Machine


def per_block(func: Any, machine: Machine) -> Any:
    """Schedule each block for itself.

    Raises:
        ScheduleError: TVM can't order a block so.
    """
    sch = new_schedule(func)
    _inline_single_use(sch)
    for block in root_blocks(sch):
        _schedule_block(sch, block, machine)
    return sch.mod["main"]


def _inline_single_use(sch: Any) -> None:
    """Element-wise work that one block reads is computed there; what several read is computed once."""
    for block in root_blocks(sch):
        if is_spatial(sch, block) and len(sch.get_consumers(block)) == 1:
            consumer = sch.get_consumers(block)[0]
            # A block read many times over by a reduction (the padding of a pooling) stays a stage of its own.
            if is_spatial(sch, consumer) or _is_row_reduction(sch, consumer):
                try_inline(sch, block)


def _schedule_block(sch: Any, block: Any, machine: Machine) -> None:
    if is_spatial(sch, block):
        schedule_spatial(sch, block, machine.lanes)
    elif is_reduction(sch, block):
        if _is_row_reduction(sch, block):
            _schedule_row_sum(sch, block, machine)
        else:
            _schedule_column_sum(sch, block, machine)


def _is_row_reduction(sch: Any, block: Any) -> bool:
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


def _schedule_row_sum(sch: Any, block: Any, machine: Machine) -> None:
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


def _share_rows(sch: Any, spatial: list[Any], steps: int) -> None:
    if spatial:
        spread(sch, spatial, steps_inside=steps)


def _schedule_column_sum(sch: Any, block: Any, machine: Machine) -> None:
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
    copy = sch.cache_write(block, 0, "local")
    *outer, column = sch.get_loops(copy)
    column_outer, lane = sch.split(column, [None, machine.lanes])
    sch.vectorize(lane)
    sch.compute_at(block, column_outer, preserve_unit_loops=True)
    inner = sch.get_loops(block)[-len(kinds) :]
    sums, tile = inner[kinds.count(0) :], inner[: kinds.count(0)]
    sch.reorder(*tile[:-1], *sums, tile[-1])
    init = sch.decompose_reduction(block, sums[0])
    sch.vectorize(sch.get_loops(init)[-1])
    sch.vectorize(tile[-1])
    spread(sch, [*outer, column_outer], steps_inside=steps * machine.lanes)
