"""Programs over rows: all stages of a row, and the element-wise work before them, inside one loop."""

from __future__ import annotations

import math
from typing import Any

from modeldyno.compiler.kernels.rows import IN_FLIGHT
from modeldyno.compiler.loops.common import (
    extent,
    is_spatial,
    iteration_kinds,
    new_schedule,
    root_blocks,
    spread,
)
from modeldyno.compiler.loops.marks import ROW
from modeldyno.compiler.rules.generic import vectorize_column
from modeldyno.compiler.rules.inline import inline_where_possible
from modeldyno.compiler.targets.machine import Machine


def rows_apply(func: Any, _machine: Machine) -> bool:
    """Whether stages carry ROW, all for the same rows, and the last one does."""
    sch = new_schedule(func)
    found = [_row_of(sch, block) for block in root_blocks(sch)]
    return bool(found) and found[-1] is not None and len(set(found) - {None}) == 1


def row_program(func: Any, machine: Machine) -> Any:
    """Schedule a function whose stages carry ROW as one loop over rows."""
    sch = new_schedule(func)
    blocks = root_blocks(sch)
    lead, size = _row_of(sch, blocks[-1]) or (0, 0)
    if not lead:
        sch.add_unit_loop(blocks[-1])
    loops = sch.get_loops(blocks[-1])[: max(lead, 1)]
    stages = _stages(sch, blocks[:-1], size)
    sums = []
    for block in stages:
        sch.compute_at(block, loops[-1], preserve_unit_loops=True)
        sums += _schedule_stage(sch, block, (len(loops), lead), machine)
    _schedule_columns(sch, blocks[-1], len(loops), machine)
    spread(sch, loops, steps_inside=size * len(stages))
    # After all else: a loop of a decomposed sum can be neither split, shared nor put in vectors.
    for block, step in sums:
        sch.decompose_reduction(block, step)
    return sch.mod["main"]


def _row_of(sch: Any, block: Any) -> tuple[int, int] | None:
    annotations = sch.get(block).annotations
    if ROW not in annotations:
        return None
    lead, size = (int(number) for number in annotations[ROW])
    return lead, size


def _stages(sch: Any, blocks: list[Any], size: int) -> list[Any]:
    """Inline whole rows that one stage reads; give what is left, consumers first."""
    kept = []
    for block in blocks:
        # The folds stay stages: inlined, they would be one long chain of single numbers.
        row = _row_of(sch, block)
        whole = row is None or _held(sch, block, row[0]) == size
        once = is_spatial(sch, block) and len(sch.get_consumers(block)) == 1
        if not (whole and once and inline_where_possible(sch, block)):
            kept.append(block)
    return kept[::-1]


def _schedule_stage(sch: Any, block: Any, rows: tuple[int, int], machine: Machine) -> list[tuple[Any, Any]]:
    """Put a stage in vectors; give the sum that is to be parted from its init, with its outermost loop."""
    outer, lead = rows
    if _row_of(sch, block) is None:
        _schedule_columns(sch, block, outer, machine)
        return []
    kinds = iteration_kinds(sch, block)
    held = _held(sch, block, lead)
    loops = sch.get_loops(block)
    if is_spatial(sch, block):
        if held <= machine.lanes * IN_FLIGHT and kinds[lead:]:
            _vectorize_held(sch, loops[-1], machine)
        else:
            _schedule_columns(sch, block, outer, machine)
        return []
    if len(kinds) == lead + 1:
        return [(block, loops[-1])]
    column, step = loops[-2:]
    sch.reorder(step, column)
    _vectorize_held(sch, column, machine)
    return [(block, step)]


def _vectorize_held(sch: Any, column: Any, machine: Machine) -> None:
    if extent(sch, column) > machine.lanes:
        vectors, column = sch.split(column, [None, machine.lanes])
        sch.unroll(vectors)
    sch.vectorize(column)


def _held(sch: Any, block: Any, lead: int) -> int:
    """Elements of one row of what a stage writes; 1 where it is a number for each row."""
    shape = list(sch.get(block).writes[0].source.shape)
    return math.prod(int(dim) for dim in shape[lead:])


def _schedule_columns(sch: Any, block: Any, outer: int, machine: Machine) -> None:
    loops = sch.get_loops(block)
    if len(loops) > outer:
        vectorize_column(sch, loops[-1], machine.lanes)
