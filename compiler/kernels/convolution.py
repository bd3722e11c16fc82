"""TE definitions of the operators that take most of a model's time, their weights packed at compile time.

Every kernel sums into tiles of rows * columns. Its block carries the annotation TILE (rows, columns), which
is what the tile rule answers to. Where a size is no multiple of the tile, the kernel sums over whole tiles
and a crop stage follows, which the rule inlines into whatever reads it: no tile is ever ragged in its inner
loops. Surplus columns have weights of zero; surplus rows read the last row again, and the rule takes them
away altogether by moving the last tile back. The schedule and its figures follow "Optimizing CNN Model
Inference on CPUs" (Liu et al., USENIX ATC 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import te, tirx

from modeldyno.compiler.loops.marks import FLOPS, PACKED, PADDED, TILE

if TYPE_CHECKING:
    from tvm.relax.op.op_attrs import Conv2DAttrs


Array = npt.NDArray[Any]


def pack_conv_weight(weight: Array, columns: int) -> Array:
    """Pack OHWI weights to [O/columns, KH, KW, I, columns], zeros beyond the last output channel."""
    out, height, width, depth = weight.shape
    padded = np.zeros((round_up(out, columns), height, width, depth), weight.dtype)
    padded[:out] = weight
    blocks = padded.reshape(-1, columns, height, width, depth)
    return np.ascontiguousarray(blocks.transpose(0, 2, 3, 4, 1))


def pack_matrix(weight: Array, columns: int) -> Array:
    """Pack a [K, N] matrix to [N/columns, K, columns], zeros beyond the last column."""
    depth, width = weight.shape
    padded = np.zeros((depth, round_up(width, columns)), weight.dtype)
    padded[:, :width] = weight
    return np.ascontiguousarray(padded.reshape(depth, -1, columns).transpose(1, 0, 2))


@dataclass(frozen=True)
class Geometry:
    """How a filter walks over an image: (vertical, horizontal) steps, padding (top, left, bottom, right)."""

    strides: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]

    @staticmethod
    def of(attrs: Conv2DAttrs) -> Geometry:
        """Give the geometry in the attributes of a Relax convolution."""
        step_h, step_w = (int(size) for size in attrs.strides)
        top, left, bottom, right = (int(size) for size in attrs.padding)
        gap_h, gap_w = (int(size) for size in attrs.dilation)
        return Geometry((step_h, step_w), (top, left, bottom, right), (gap_h, gap_w))


@dataclass(frozen=True)
class Window:
    """An image padded for a filter. `read` gives the pixel under a tap; `wide` is out_w in whole tiles."""

    out_h: int
    out_w: int
    wide: int
    read: Callable[..., tirx.Expr]


def conv2d(
    data: te.Tensor, packed: te.Tensor, *, geometry: Geometry, channels: int, rows: int, block: int = 0
) -> te.Tensor:
    """Convolve NHWC data; `packed` as from pack_conv_weight."""
    batch, depth = int(data.shape[0]), int(data.shape[3])
    blocks, kernel_h, kernel_w, _, columns = (int(size) for size in packed.shape)
    window = place(data, (kernel_h, kernel_w), geometry, rows)
    ic = te.reduce_axis((0, depth), "ic")
    kh = te.reduce_axis((0, kernel_h), "kh")
    kw = te.reduce_axis((0, kernel_w), "kw")
    summed = te.compute(
        (batch, window.out_h, window.wide, blocks * columns),
        lambda n, h, w, o: te.sum(
            window.read((n, h, w), (kh, kw), ic) * packed[o // columns, kh, kw, ic, o % columns],
            axis=[kh, kw, ic],
        ),
        name="conv2d",
        attrs={
            TILE: [rows, columns],
            PACKED: block,
            FLOPS: 2 * batch * window.out_h * window.out_w * channels * depth * kernel_h * kernel_w,
            **_padded(data, geometry, window.out_w),
        },
    )
    return crop(summed, (batch, window.out_h, window.out_w, channels))


def _padded(data: te.Tensor, geometry: Geometry, out_w: int) -> dict[str, list[int]]:
    """Annotation of a padded convolution's block, for the rule that does without the padding."""
    if not any(geometry.padding):
        return {}
    _, height, width, _ = (int(size) for size in data.shape)
    return {PADDED: [*geometry.strides, *geometry.dilation, *geometry.padding[:2], height, width, out_w]}


def place(data: te.Tensor, kernel: tuple[int, int], geometry: Geometry, rows: int) -> Window:
    """Pad NHWC data for a filter; pixels that only fill the last tile read the last column of the image."""
    _, height, width, _ = (int(size) for size in data.shape)
    (step_h, step_w), (gap_h, gap_w) = geometry.strides, geometry.dilation
    top, left, bottom, right = geometry.padding
    reach_h, reach_w = gap_h * (kernel[0] - 1) + 1, gap_w * (kernel[1] - 1) + 1
    out_h = (height + top + bottom - reach_h) // step_h + 1
    out_w = (width + left + right - reach_w) // step_w + 1
    wide = round_up(out_w, rows)
    source = pad_hw(data, geometry.padding)
    last = width + left + right - 1

    def read(
        pixel: tuple[tirx.Var, tirx.Var, tirx.Var], tap: tuple[tirx.IterVar, tirx.IterVar], c: tirx.IterVar
    ) -> tirx.Expr | te.TensorSlice:
        n, h, w = pixel
        column = w * step_w + tap[1] * gap_w
        return source[n, h * step_h + tap[0] * gap_h, column if wide == out_w else tirx.min(column, last), c]

    return Window(out_h, out_w, wide, read)


def dense(data: te.Tensor, packed: te.Tensor, *, width: int, rows: int, block: int = 0) -> te.Tensor:
    """Matrix product [..., M, K] * [K, N]; `packed` as from pack_matrix, `width` is N."""
    *lead, height, depth = (int(size) for size in data.shape)
    blocks, _, columns = (int(size) for size in packed.shape)
    tall = round_up(height, rows)
    k = te.reduce_axis((0, depth), "k")

    def row(number: tirx.Var) -> tirx.Expr:
        return number if tall == height else tirx.min(number, height - 1)

    summed = te.compute(
        (*lead, tall, blocks * columns),
        lambda *axes: te.sum(
            data[(*axes[:-2], row(axes[-2]), k)] * packed[axes[-1] // columns, k, axes[-1] % columns],
            axis=[k],
        ),
        name="dense",
        attrs={TILE: [rows, columns], PACKED: block, FLOPS: 2 * math.prod(lead) * height * width * depth},
    )
    return crop(summed, (*lead, height, width))


def batch_matmul(left: te.Tensor, right: te.Tensor, *, rows: int, columns: int) -> te.Tensor:
    """Matrix products [..., M, K] * [..., K, N] of equal leading sizes."""
    *lead, height, depth = (int(size) for size in left.shape)
    width = int(right.shape[-1])
    tall, wide = round_up(height, rows), round_up(width, columns)
    source, weights = pad_end(left, (tall, depth)), pad_end(right, (depth, wide))
    k = te.reduce_axis((0, depth), "k")
    summed = te.compute(
        (*lead, tall, wide),
        lambda *axes: te.sum(source[(*axes[:-1], k)] * weights[(*axes[:-2], k, axes[-1])], axis=[k]),
        name="batch_matmul",
        attrs={TILE: [rows, columns]},
    )
    return crop(summed, (*lead, height, width))


def round_up(size: int, tile: int) -> int:
    """Smallest multiple of `tile` that is not below `size`."""
    return math.ceil(size / tile) * tile


def crop(data: te.Tensor, shape: tuple[int, ...]) -> te.Tensor:
    """Cut the padding off; nothing at all when there is none."""
    if tuple(int(size) for size in data.shape) == shape:
        return data
    return te.compute(shape, lambda *axes: data[axes], name="crop")


def pad_hw(data: te.Tensor, padding: tuple[int, int, int, int]) -> te.Tensor:
    """Pad the two spatial axes of NHWC data with zeros: (top, left, bottom, right)."""
    if not any(padding):
        return data
    batch, height, width, depth = (int(size) for size in data.shape)
    top, left, bottom, right = padding

    def element(n: tirx.Var, h: tirx.Var, w: tirx.Var, c: tirx.Var) -> tirx.Expr | te.TensorSlice:
        inside = tvm.tirx.all(h >= top, h < top + height, w >= left, w < left + width)
        return tirx.if_then_else(inside, data[n, h - top, w - left, c], tirx.const(0, data.dtype))

    return te.compute((batch, height + top + bottom, width + left + right, depth), element, name="pad")


def pad_end(data: te.Tensor, sizes: tuple[int, int]) -> te.Tensor:
    """Pad the last two axes with zeros at their end, up to `sizes`."""
    *lead, height, width = (int(size) for size in data.shape)
    if (height, width) == sizes:
        return data

    def element(*axes: tirx.Var) -> tirx.Expr | te.TensorSlice:
        checks = [
            axis < size
            for axis, size, goal in zip(axes[-2:], (height, width), sizes, strict=True)
            if goal != size
        ]
        return tirx.if_then_else(tvm.tirx.all(*checks), data[axes], tirx.const(0, data.dtype))

    return te.compute((*lead, *sizes), element, name="pad")
