"""Pooling over NHWC data: vectors of channels stay in registers while the window is walked, without padding.

The image is read where it is: a tap outside of it is skipped, which is one test for all the channels of a
pixel. The stage carries the annotation POOL, which `rules.pool` schedules it by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tvm import te, tirx

from modeldyno.compiler.kernels.extremes import EXTREMES
from modeldyno.compiler.loops.marks import POOL

if TYPE_CHECKING:
    from collections.abc import Callable


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
