"""Winograd convolution: 3x3 filters with stride 1 in a fraction of the multiplications.

F(m x m, 3 x 3) computes tiles of m x m outputs from patches of (m + 2)^2 inputs with (m + 2)^2 products a
channel pair instead of 9 m^2: 2.25 times fewer for m = 2, 4 times fewer for m = 4. Source: Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), whose matrices these are. What it costs is
accuracy: its error in float32 grows with m, so parity is held to a looser bound (see the tests).

    Y = A^T [(G g G^T) * (B^T d B)] A

The filter's side is computed at compile time, in float64. The product in the middle is (m + 2)^2 matrix
products of patches by channels, which run in the same register tiles as every other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import te, tirx

from compiler.schedules.kernels import Geometry, crop, round_up
from compiler.schedules.machine import Machine
from compiler.schedules.prefetch import STEPS

WINOGRAD = "dyno.winograd"  # block annotation of the product: [m, rows, columns, tile rows of a block]
TAPS = 3
TRANSFORM_CYCLES = 3.0  # that a vector of a patch's points costs to transform

Array = npt.NDArray[Any]
Matrix = tuple[tuple[float, ...], ...]

_INPUT: dict[int, Matrix] = {
    2: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    4: (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
}
_FILTER: dict[int, Matrix] = {
    2: ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    4: (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
}
_OUTPUT: dict[int, Matrix] = {
    2: ((1, 1, 1, 0), (0, 1, -1, -1)),
    4: ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
}


@dataclass(frozen=True)
class Tiling:
    """How the work is cut: outputs of a patch's side, register tile, and rows of patches walked at a time."""

    side: int  # m: 2 or 4
    rows: int
    columns: int
    band: int  # rows of patches whose transformed inputs lie in the second-level cache together
    wide: int  # patches of a row, those that only fill up the last register tile included


def pack_winograd_weight(weight: Array, side: int, columns: int) -> Array:
    """Transform OHWI weights of 3x3 filters and pack them to [O/columns, (side + 2)^2, I, columns]."""
    out, _, _, depth = weight.shape
    matrix = np.asarray(_FILTER[side])
    turned = np.einsum("iy,oyxc,jx->ijco", matrix, weight.astype(np.float64), matrix)
    points = matrix.shape[0] ** 2
    padded = np.zeros((points, depth, round_up(out, columns)), weight.dtype)
    padded[:, :, :out] = turned.reshape(points, depth, out)
    blocks = padded.reshape(points, depth, -1, columns)
    return np.ascontiguousarray(blocks.transpose(2, 0, 1, 3))


def winograd_tilings(
    machine: Machine, image: tuple[int, int], depth: int, channels: int
) -> list[tuple[float, Tiling]]:
    """List ways to convolve to an image of (height, width) outputs, each with its cycles; empty if none fits.

    Counts products, transforms, and weights that are read from beyond the cache.
    """
    if depth % max(machine.lanes, STEPS):
        return []
    widths = range(1, min(3, -(-channels // machine.lanes)) + 1)
    return [
        _tiling(machine, (side, machine.lanes * vectors), image, depth, channels)
        for side in (2, 4)
        for vectors in widths
    ]


def _tiling(
    machine: Machine, choice: tuple[int, int], image: tuple[int, int], depth: int, channels: int
) -> tuple[float, Tiling]:
    side, columns = choice
    tall, across = -(-image[0] // side), -(-image[1] // side)
    points = (side + TAPS - 1) ** 2
    wide, rows, band = _register_tile(machine, tall, across, columns, points * depth * 4)
    patches = round_up(tall, band) * wide
    products = points * depth * machine.cycles(patches, channels, (rows, columns))
    weight_bytes = points * depth * channels * 4
    walks = 1 if weight_bytes < machine.l2_bytes // 2 else -(-tall // band)
    loads = machine.weight_cycles(weight_bytes * walks)
    transforms = (depth + channels) / machine.lanes * patches * points * TRANSFORM_CYCLES
    return products + loads + transforms, Tiling(side, rows, columns, band, wide)


def _register_tile(
    machine: Machine, tall: int, across: int, columns: int, patch_bytes: int
) -> tuple[int, int, int]:
    """Choose patches of a row (padded), rows of a register tile, and patch rows of a band.

    A register tile is a part of a patch row, or some whole rows of a band.
    """
    most = machine.most_rows(columns)
    fitting = max(1, machine.l2_bytes // (patch_bytes * across))
    options = []
    for wide in range(across, across + 4):
        for rows in range(1, most + 1):
            if wide % rows == 0:
                bands = list(range(1, min(tall, fitting) + 1))
            elif rows % wide == 0:
                step = rows // wide
                bands = [band for band in range(step, tall + step, step) if band <= max(step, fitting)]
            else:
                continue
            options += [(wide, rows, band) for band in bands]
    return min(options, key=lambda option: _waste(tall, across, *option))


def _waste(tall: int, across: int, wide: int, rows: int, band: int) -> tuple[float, int]:
    """Relative cost of a choice: patches that are only padding, short register tiles; then few, big bands."""
    padded = round_up(tall, band) * wide / (tall * across)
    return (round(padded * (1 + 1.0 / rows) * (1 + 2.0 / (band * wide)), 3), -band)


def winograd_conv2d(data: Any, packed: Any, *, geometry: Geometry, channels: int, tiling: Tiling) -> Any:
    """Convolve NHWC data with 3x3 filters at stride 1; `packed` as from pack_winograd_weight.

    The number of input channels is a multiple of the vector's lanes.
    """
    batch, height, width, depth = (int(size) for size in data.shape)
    side, points = tiling.side, tiling.side + TAPS - 1
    top, left, bottom, right = geometry.padding
    out_h, out_w = height + top + bottom - TAPS + 1, width + left + right - TAPS + 1
    tall, wide = round_up(-(-out_h // side), tiling.band), tiling.wide
    blocks, _, _, columns = (int(size) for size in packed.shape)

    def pixel(n: Any, ty: Any, tx: Any, y: Any, x: Any, c: Any) -> Any:
        h, w = ty * side + y - top, tx * side + x - left
        inside = tvm.tirx.all(h >= 0, h < height, w >= 0, w < width)
        return tirx.if_then_else(inside, data[n, h, w, c], tirx.const(0, data.dtype))

    patch = te.compute((batch, tall, wide, points, points, depth), pixel, name="winograd_patch")
    half = te.compute(
        (batch, tall, wide, points, points, depth),
        lambda n, ty, tx, i, x, c: _row_of(_INPUT[side], i, lambda k: patch[n, ty, tx, k, x, c]),
        name="winograd_half",
    )
    turned = te.compute(
        (batch, points, points, tall, wide, depth),
        lambda n, i, j, ty, tx, c: _row_of(_INPUT[side], j, lambda k: half[n, ty, tx, i, k, c]),
        name="winograd_input",
    )
    ic = te.reduce_axis((0, depth), "ic")
    product = te.compute(
        (batch, points, points, tall, wide, blocks * columns),
        lambda n, i, j, ty, tx, o: te.sum(
            turned[n, i, j, ty, tx, ic] * packed[o // columns, i * points + j, ic, o % columns], axis=[ic]
        ),
        name="winograd",
        attrs={WINOGRAD: [side, tiling.rows, columns, tiling.band]},
    )
    narrow = te.compute(
        (batch, tall, wide, side, points, blocks * columns),
        lambda n, ty, tx, y, j, o: _row_of(_OUTPUT[side], y, lambda k: product[n, k, j, ty, tx, o]),
        name="winograd_narrow",
    )
    full = te.compute(
        (batch, tall * side, wide * side, blocks * columns),
        lambda n, h, w, o: _row_of(
            _OUTPUT[side], w % side, lambda k: narrow[n, h // side, w // side, h % side, k, o]
        ),
        name="winograd_output",
    )
    return crop(full, (batch, out_h, out_w, channels))


def _row_of(matrix: Matrix, number: Any, element: Any) -> Any:
    """Give row `number` of matrix * vector; the choice goes away where the loop over rows is unrolled."""
    rows = [_weighted(row, element) for row in matrix]
    chosen = rows[-1]
    for index in reversed(range(len(rows) - 1)):
        chosen = tirx.Select(number == index, rows[index], chosen)
    return chosen


def _weighted(row: tuple[float, ...], element: Any) -> Any:
    """Sum of the elements with their factors, without products by 0, 1 and -1."""
    total: Any = None
    for place, factor in sorted(enumerate(row), key=lambda item: item[1] < 0):
        if not factor:
            continue
        term = element(place)
        if abs(factor) != 1:
            term = term * tirx.const(abs(factor), "float32")
        total = (term if total is None else total + term) if factor > 0 else total - term
    return total
