"""Grouped and depthwise convolutions: their TE definitions and the packing of their weights.

The blocks carry the annotation WALK, which is what the rule in `rules.grouped` goes by: it writes the loops
down itself, by the packing done here. Nothing is padded in memory: taps outside of the image are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import te, tirx

from modeldyno.compiler.kernels.convolution import Geometry, round_up
from modeldyno.compiler.loops.grouped_loops import shuffled
from modeldyno.compiler.loops.marks import FLOPS, WALK
from modeldyno.compiler.targets.machine import Machine

# A tile wider than this would leave too few rows to share its weights.
MOST_VECTORS = 5
DEPTHWISE_ROWS = 8  # pixels of a tile, where nothing else was measured

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class GroupTile:
    """Tile of a group's sums: rows of pixels, columns of output channels; `tiles` of them span a group."""

    rows: int
    columns: int
    tiles: int


def group_tiles(machine: Machine, width: int, channels: int) -> list[GroupTile]:
    """Tiles for `channels` outputs of one group over rows of `width` pixels, the likeliest first.

    Counts cycles per input channel: two multiply-adds a cycle, two loads a cycle, sums in flight enough.
    """
    vectors = math.ceil(channels / machine.lanes)
    found = []
    for wide in range(1, min(MOST_VECTORS, vectors) + 1):
        most = max(1, (machine.registers - 1 - wide) // wide)
        for rows in range(1, min(most, width) + 1):
            tiles = math.ceil(vectors / wide)
            cycles = max(rows * wide, rows + wide, 8) * tiles * math.ceil(width / rows)
            found.append((cycles, -wide * rows, GroupTile(rows, wide * machine.lanes, tiles)))
    return [tile for *_, tile in sorted(found, key=lambda each: each[:2])]


def depthwise_tiles(machine: Machine, width: int, channels: int) -> list[GroupTile]:
    """Tiles of a depthwise convolution: the usual one, then wider, taller and lower ones.

    Each sum has a register; so have the weights of one tap, and what is read.
    """
    lanes = machine.lanes
    usual = GroupTile(min(width, DEPTHWISE_ROWS), lanes, math.ceil(channels / lanes))
    found = [usual]
    for vectors in range(1, min(2, channels // lanes) + 1):
        most = (machine.registers - 2 * vectors - 1) // vectors
        heights = [rows for rows in (8, 7, 6, 10, 14, 12, 5, 4, 3, 2) if rows <= min(width, most)]
        found += [GroupTile(rows, vectors * lanes, math.ceil(channels / lanes / vectors)) for rows in heights]
    return list(dict.fromkeys(found))


def merged_groups(groups: int, per_out: int, lanes: int) -> int:
    """Groups that are computed as one, the weights between them zero, so that their outputs fill a vector."""
    fitting = [size for size in range(1, groups + 1) if groups % size == 0 and size * per_out <= lanes]
    return max(fitting, default=1)


def merge_groups(weight: Array, groups: int, size: int) -> Array:
    """Give OHWI weights of `groups` as weights of groups/size, zeros between the groups of one."""
    out, height, width, depth = weight.shape
    merged = np.zeros((groups // size, size, out // groups, height, width, size, depth), weight.dtype)
    parts = weight.reshape(groups // size, size, out // groups, height, width, depth)
    for each in range(size):
        merged[:, each, :, :, :, each, :] = parts[:, each]
    return merged.reshape(out, height, width, size * depth)


def pack_groups(weight: Array, groups: int, columns: int) -> Array:
    """Pack OHWI weights to [groups, tiles, KH, KW, I, columns], zeros beyond a group's last output."""
    out, height, width, depth = weight.shape
    per_out = out // groups
    padded = np.zeros((groups, round_up(per_out, columns), height, width, depth), weight.dtype)
    padded[:, :per_out] = weight.reshape(groups, per_out, height, width, depth)
    tiles = padded.reshape(groups, -1, columns, height, width, depth)
    return np.ascontiguousarray(tiles.transpose(0, 1, 3, 4, 5, 2))


def grouped_conv2d(
    data: te.Tensor, packed: te.Tensor, *, geometry: Geometry, channels: int, rows: int, shuffle: int = 1
) -> te.Tensor:
    """Convolve NHWC data in groups; `packed` as from pack_groups, `channels` of all groups.

    The input's channels are read as if they had been shuffled in `shuffle` groups before.
    """
    groups, _, kernel_h, kernel_w, depth, columns = (int(size) for size in packed.shape)
    per_out = channels // groups
    ic = te.reduce_axis((0, depth), "ic")
    kh = te.reduce_axis((0, kernel_h), "kh")
    kw = te.reduce_axis((0, kernel_w), "kw")

    def element(n: tirx.Var, h: tirx.Var, w: tirx.Var, o: tirx.Var) -> tirx.Expr:
        channel = shuffled(o // per_out * depth + ic, shuffle, groups * depth)
        pixel = _pixel(data, geometry, (n, h, w), (kh, kw), channel)
        place = o % per_out
        return te.sum(
            pixel * packed[o // per_out, place // columns, kh, kw, ic, place % columns], axis=[kh, kw, ic]
        )

    shape = (int(data.shape[0]), *out_size(data.shape, (kernel_h, kernel_w), geometry), channels)
    flops = 2 * math.prod(shape) * kernel_h * kernel_w * depth
    walk = {WALK: _walk([groups, shuffle, rows], geometry, [1, 0]), FLOPS: flops}
    return te.compute(shape, element, name="grouped_conv2d", attrs=walk)


def depthwise(
    data: te.Tensor,
    weight: te.Tensor,
    *,
    geometry: Geometry,
    rows: int,
    vectors: int = 1,
    unroll: bool = False,
) -> te.Tensor:
    """Depthwise convolution over NHWC data of any number of channels; `weight` is [KH, KW, C].

    A tile is of `rows` pixels and so many vectors of channels; `unroll` writes its filter's lines out.
    """
    kernel_h, kernel_w, depth = (int(size) for size in weight.shape)
    kh = te.reduce_axis((0, kernel_h), "kh")
    kw = te.reduce_axis((0, kernel_w), "kw")

    def element(n: tirx.Var, h: tirx.Var, w: tirx.Var, c: tirx.Var) -> tirx.Expr:
        return te.sum(_pixel(data, geometry, (n, h, w), (kh, kw), c) * weight[kh, kw, c], axis=[kh, kw])

    shape = (int(data.shape[0]), *out_size(data.shape, (kernel_h, kernel_w), geometry), depth)
    walk = _walk([0, 1, rows], geometry, [vectors, int(unroll)])
    flops = 2 * math.prod(shape) * kernel_h * kernel_w
    return te.compute(shape, element, name="depthwise_conv2d", attrs={WALK: walk, FLOPS: flops})


def out_size(shape: Sequence[tirx.Expr], kernel: tuple[int, int], geometry: Geometry) -> tuple[int, int]:
    """Height and width of what a filter gives for NHWC data of `shape`."""
    height, width = (int(size) for size in (shape[1], shape[2]))
    (step_h, step_w), (gap_h, gap_w) = geometry.strides, geometry.dilation
    top, left, bottom, right = geometry.padding
    return (
        (height + top + bottom - gap_h * (kernel[0] - 1) - 1) // step_h + 1,
        (width + left + right - gap_w * (kernel[1] - 1) - 1) // step_w + 1,
    )


def _pixel(
    data: te.Tensor,
    geometry: Geometry,
    place: tuple[tirx.Var, ...],
    tap: tuple[tirx.IterVar, tirx.IterVar],
    channel: tirx.Expr,
) -> tirx.Expr | te.TensorSlice:
    """Read the pixel under a tap; zero outside of the image."""
    _, height, width, _ = (int(size) for size in data.shape)
    top, left, bottom, right = geometry.padding
    n, h, w = place
    y = h * geometry.strides[0] + tap[0] * geometry.dilation[0] - top
    x = w * geometry.strides[1] + tap[1] * geometry.dilation[1] - left
    checks = [
        *([y >= 0, y < height] if top or bottom else []),
        *([x >= 0, x < width] if left or right else []),
    ]
    value = data[n, y, x, channel]
    return tirx.if_then_else(tirx.all(*checks), value, tirx.const(0, data.dtype)) if checks else value


def _walk(facts: list[int], geometry: Geometry, tile: list[int]) -> list[int]:
    return [*facts, *geometry.strides, *geometry.padding[:2], *geometry.dilation, *tile]
