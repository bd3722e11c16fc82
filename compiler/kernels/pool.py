"""Pooling over NHWC data: vectors of channels stay in registers while the window is walked, without padding.

The image is read where it is: a tap outside of it is skipped, which is one test for all the channels of a
pixel. The stage carries the annotation POOL, which is what the rule answers to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tvm import te, tirx

from modeldyno.compiler.kernels.extremes import EXTREMES
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
from modeldyno.compiler.rules.generic import vector_width
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    from tvm import s_tir
    from tvm.s_tir.schedule import LoopRV, SBlockRV

POOL = "dyno.pool"  # block annotation of the stage that walks over the window
# Windows up to this many taps are unrolled whole.
_UNROLL_TAPS = 16


@dataclass(frozen=True)
class PoolWindow:
    """A window and its walk: (vertical, horizontal) pairs; padding is (top, left, bottom, right)."""

    size: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int, int, int]
    out: tuple[int, int]  # height and width of the output


def max_pool(data: te.Tensor, *, window: PoolWindow) -> te.Tensor:
    """Maximum of each window over NHWC data; pixels outside the image, and NaN, are never it."""
    return _walk(data, window, EXTREMES["max"].reducer, tirx.const(-math.inf, data.dtype))


def average_pool(data: te.Tensor, *, window: PoolWindow, count_padding: bool) -> te.Tensor:
    """Mean of each window over NHWC data; pixels outside the image count as zeros, or not at all."""
    summed = _walk(data, window, te.sum, tirx.const(0, data.dtype))
    heights, widths = (_counts(data, window, axis, count_padding) for axis in (0, 1))

    def element(n: tirx.Var, h: tirx.Var, w: tirx.Var, c: tirx.Var) -> tirx.Expr:
        return summed[n, h, w, c] * (tirx.const(1, data.dtype) / (heights(h) * widths(w)))

    return te.compute(summed.shape, element, name="average")


def _walk(
    data: te.Tensor, window: PoolWindow, reducer: Callable[..., tirx.Expr], outside: tirx.Expr
) -> te.Tensor:
    batch, height, width, channels = (int(size) for size in data.shape)
    kh = te.reduce_axis((0, window.size[0]), "kh")
    kw = te.reduce_axis((0, window.size[1]), "kw")

    def element(n: tirx.Var, h: tirx.Var, w: tirx.Var, c: tirx.Var) -> tirx.Expr:
        row = h * window.strides[0] + kh * window.dilation[0] - window.padding[0]
        column = w * window.strides[1] + kw * window.dilation[1] - window.padding[1]
        inside = [
            *_bounds(row, window, 0, height),
            *_bounds(column, window, 1, width),
        ]
        value = data[n, row, column, c]
        if inside:
            value = tirx.if_then_else(tirx.all(*inside), value, outside)
        return reducer(value, axis=[kh, kw])

    return te.compute((batch, *window.out, channels), element, name="pool", attrs={POOL: 1})


def _bounds(place: tirx.Expr, window: PoolWindow, axis: int, size: int) -> list[tirx.Expr]:
    """Give the tests that keep a tap inside the image: those that some window needs."""
    tests = []
    if window.padding[axis]:
        tests.append(place >= 0)
    last = (window.out[axis] - 1) * window.strides[axis] + (window.size[axis] - 1) * window.dilation[axis]
    if last - window.padding[axis] >= size:
        tests.append(place < size)
    return tests


def _counts(
    data: te.Tensor, window: PoolWindow, axis: int, count_padding: bool
) -> Callable[[tirx.Expr], tirx.Expr]:
    """Give the function from an output row (or column) to the float number of its taps that count."""
    size = int(data.shape[1 + axis])
    before, after = window.padding[axis], window.padding[axis + 2]
    low, high = (-before, size + after) if count_padding else (0, size)

    def count(place: int) -> int:
        first = place * window.strides[axis] - before
        taps = (first + tap * window.dilation[axis] for tap in range(window.size[axis]))
        return max(1, len([tap for tap in taps if low <= tap < high]))

    counts = [count(place) for place in range(window.out[axis])]
    if len(set(counts)) == 1:
        return lambda _place: tirx.const(counts[0], data.dtype)

    def symbolic(place: tirx.Expr) -> tirx.Expr:
        first = place * window.strides[axis] - before
        gap, taps = window.dilation[axis], window.size[axis]
        # Taps from the first that is not below `low` to the last that is below `high`.
        skipped = tirx.max(0, tirx.floordiv(low - first + gap - 1, gap))
        end = tirx.min(taps, tirx.floordiv(high - first + gap - 1, gap))
        return tirx.Cast(str(data.dtype), tirx.max(1, end - skipped))

    return symbolic


def pool_applies(func: tirx.PrimFunc, _machine: Machine) -> bool:
    """Whether one stage carries POOL, and what follows it is element by element and can be one stage."""
    sch = new_schedule(func)
    walk = marked_block(sch, POOL)
    if walk is None or sch.get_producers(walk):
        return False
    followers = _followers(sch, walk)
    return all(_in_place(sch, block) for block in followers) and all(
        can_inline(sch, block) for block in followers[:-1]
    )


def pool_window(func: tirx.PrimFunc, machine: Machine) -> tirx.PrimFunc:
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
    taps: list[LoopRV] = list(loops[-2:])
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


def _followers(sch: s_tir.Schedule, walk: SBlockRV) -> list[SBlockRV]:
    name = sch.get(walk).name_hint
    return [block for block in root_blocks(sch) if sch.get(block).name_hint != name]


def _tail(sch: s_tir.Schedule, walk: SBlockRV) -> SBlockRV:
    """Make one stage of what follows the walk element by element."""
    followers = _followers(sch, walk)
    if not followers:
        return sch.cache_write(walk, 0, "global")
    *inner, last = followers
    for block in inner:
        sch.compute_inline(block)
    return last


def _in_place(sch: s_tir.Schedule, block: SBlockRV) -> bool:
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


def _vectorize(sch: s_tir.Schedule, loop: LoopRV, width: int) -> None:
    if width == 1:
        return
    if extent(sch, loop) > width:
        vectors, loop = sch.split(loop, [None, width])
        sch.unroll(vectors)
    sch.vectorize(loop)
