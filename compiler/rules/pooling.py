"""Pooling: a tile of channels stays in registers while the taps of the window are walked."""

from __future__ import annotations

import math
from typing import Any

from modeldyno.compiler.loops.common import (
    can_inline,
    extent,
    is_spatial,
    marked_block,
    new_schedule,
    reads_axes,
    root_blocks,
    spread,
)
from modeldyno.compiler.loops.marks import POOL
from modeldyno.compiler.rules.generic import vector_width
from modeldyno.compiler.targets.machine import Machine

_UNROLL_TAPS = 16  # windows up to this many taps are unrolled whole


def pool_applies(func: Any, _machine: Machine) -> bool:
    """Whether one stage carries POOL, and what follows it is element by element and can be one stage."""
    sch = new_schedule(func)
    walk = marked_block(sch, POOL)
    if walk is None or sch.get_producers(walk):
        return False
    followers = _followers(sch, walk)
    return all(_in_place(sch, block) for block in followers) and all(
        can_inline(sch, block) for block in followers[:-1]
    )


def pool_window(func: Any, machine: Machine) -> Any:
    """Schedule a function around its one stage that carries POOL."""
    sch = new_schedule(func)
    walk = marked_block(sch, POOL)
    tail = _tail(sch, walk)
    *outer, column = sch.get_loops(tail)
    chunk, lane_width = _chunk(extent(sch, column), machine.lanes)
    chunks, inner = sch.split(column, [None, chunk])
    _vectorize(sch, inner, lane_width)
    sch.compute_at(walk, chunks, preserve_unit_loops=True)
    loops = sch.get_loops(walk)
    taps: list[Any] = list(loops[-2:])
    lanes = loops[-3]
    sch.reorder(*taps, lanes)
    _vectorize(sch, lanes, lane_width)
    count = math.prod(extent(sch, tap) for tap in taps)
    if count <= _UNROLL_TAPS:
        for tap in taps:
            sch.unroll(tap)
    spread(sch, [*outer, chunks], steps_inside=count * chunk)
    sch.decompose_reduction(walk, taps[0])
    return sch.mod["main"]


def _followers(sch: Any, walk: Any) -> list[Any]:
    name = sch.get(walk).name_hint
    return [block for block in root_blocks(sch) if sch.get(block).name_hint != name]


def _tail(sch: Any, walk: Any) -> Any:
    """Make one stage of what follows the walk element by element."""
    followers = _followers(sch, walk)
    if not followers:
        return sch.cache_write(walk, 0, "global")
    *inner, last = followers
    for block in inner:
        sch.compute_inline(block)
    return last


def _in_place(sch: Any, block: Any) -> bool:
    """Whether a stage computes each of its elements from those at the same place, and from constants."""
    if not is_spatial(sch, block):
        return False
    axes = [axis.var for axis in sch.get(block).iter_vars]
    shape = [int(size) for size in sch.get(block).writes[0].source.shape]
    return all(
        reads_axes(region, axes)
        for region in sch.get(block).reads
        if [int(size) for size in region.source.shape] == shape
    )


def _chunk(channels: int, lanes: int) -> tuple[int, int]:
    """Channels that one tile holds, and in one vector operation: four vectors, or a divisor that is near."""
    width = vector_width(channels, lanes)
    if width != lanes:
        return width, width
    vectors = channels // lanes
    return lanes * next(count for count in (4, 3, 2, 1) if vectors % count == 0), lanes


def _vectorize(sch: Any, loop: Any, width: int) -> None:
    if width == 1:
        return
    if extent(sch, loop) > width:
        vectors, loop = sch.split(loop, [None, width])
        sch.unroll(vectors)
    sch.vectorize(loop)
