"""Winograd convolution: 3x3 filters with stride 1 in a fraction of the multiplications.

F(m x m, 3 x 3) computes tiles of m x m outputs from patches of (m + 2)^2 inputs with (m + 2)^2 products a
channel pair instead of 9 m^2: 2.25 times fewer for m = 2, 4 times fewer for m = 4. Source: Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks" (CVPR 2016). What it costs is accuracy: its error in
float32 grows with m, so parity is held to a looser bound (see the tests).

    Y = A^T [(G g G^T) * (B^T d B)] A

The filter's side is computed at compile time, in float64. The product in the middle is (m + 2)^2 matrix
products of patches by channels, which run in the same register tiles as every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import te, tirx

from modeldyno.compiler.kernels.convolution import Geometry, crop, round_up
from modeldyno.compiler.loops.marks import FLOPS, STEPS, WINOGRAD
from modeldyno.compiler.targets.machine import Machine

TAPS = 3
TRANSFORM_CYCLES = 3.0  # that a vector of a patch's points costs to transform
# The transformed filters of one kernel may be so large (those of F(4, 3) have 4 times the size of the
# filters): a server would pay with memory, for every model that it holds, for what its cores save.
MOST_FILTER_BYTES = 16 << 20

Array = npt.NDArray[Any]
Matrix = tuple[tuple[float, ...], ...]
Element = Callable[[int], tirx.Expr]


@dataclass(frozen=True)
class Transform:
    """The three matrices of F(m, 3): the filter's (n x 3), the input's (n x n) and the output's (m x n)."""

    filter: Matrix
    input: Matrix
    output: Matrix


def cook_toom(points: Sequence[Fraction]) -> Transform:
    """Make the matrices that interpolate at these points and at infinity (Toom and Cook; see Winograd 1980).

    Of the points for m = 4, 0, ±2/3 and ±3/2 give half the error of the usual 0, ±1 and ±2: their powers stay
    near to one another (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution
    for Deep Neural Networks", ACM TOMS 2020).
    """
    size = len(points) + 1
    side = size - TAPS + 1
    others = [[other for other in points if other != point] for point in points]
    factors = [
        prod((point - other for other in rest), start=Fraction(1))
        for point, rest in zip(points, others, strict=True)
    ]
    filters = [
        [point**k / factor for k in range(TAPS)] for point, factor in zip(points, factors, strict=True)
    ]
    inputs = [[*_polynomial(rest), Fraction(0)] for rest in others]
    outputs = [[*(point**k for point in points), Fraction(int(k == side - 1))] for k in range(side)]
    return Transform(
        _floats([*filters, [Fraction(0)] * (TAPS - 1) + [Fraction(1)]]),
        _floats([*inputs, _polynomial(points)]),
        _floats(outputs),
    )


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (x - root), lowest first."""
    found = [Fraction(1)]
    for root in roots:
        raised = [Fraction(0), *found]
        found = [high - root * low for high, low in zip(raised, [*found, Fraction(0)], strict=True)]
    return found


def _floats(rows: Sequence[Sequence[Fraction]]) -> Matrix:
    return tuple(tuple(float(value) for value in row) for row in rows)


TRANSFORMS = {
    2: cook_toom([Fraction(0), Fraction(1), Fraction(-1)]),
    4: cook_toom([Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2)]),
}


@dataclass(frozen=True)
class Tiling:
    """How the work is cut: outputs of a patch's side, register tile, and rows of patches walked at a time."""

    side: int  # m: 2 or 4
    rows: int
    columns: int
    band: int  # rows of patches whose transformed inputs lie in the second-level cache together


def pack_winograd_weight(weight: Array, side: int, columns: int) -> Array:
    """Transform OHWI weights of 3x3 filters and pack them to [O/columns, (side + 2)^2, I, columns]."""
    out, _, _, depth = weight.shape
    matrix = np.asarray(TRANSFORMS[side].filter)
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

    Counts products, transforms, and weights that are read from beyond the cache. Tiles of 4 are left out
    where their filters would fill more than MOST_FILTER_BYTES; those of 2 cost less than twice their size.
    """
    if depth % max(machine.lanes, STEPS):
        return []
    widths = range(1, min(3, -(-channels // machine.lanes)) + 1)
    return [
        _tiling(machine, (side, machine.lanes * vectors), image, depth, channels)
        for side in (2, 4)
        if side == 2 or (side + TAPS - 1) ** 2 * depth * channels * 4 <= MOST_FILTER_BYTES
        for vectors in widths
    ]


def _tiling(
    machine: Machine, choice: tuple[int, int], image: tuple[int, int], depth: int, channels: int
) -> tuple[float, Tiling]:
    side, columns = choice
    tall, wide = -(-image[0] // side), -(-image[1] // side)
    most = machine.most_rows(columns)
    options = [
        Tiling(side, rows, columns, band)
        for band in range(1, tall + 1)
        for rows in range(1, min(most, band * wide) + 1)
    ]
    rated = [(_cycles(machine, option, (tall, wide), depth, channels), option) for option in options]
    return min(rated, key=lambda pair: (pair[0], -pair[1].band))


def _cycles(machine: Machine, tiling: Tiling, patches: tuple[int, int], depth: int, channels: int) -> float:
    """Cycles of a convolution: products, transforms, and what is read from beyond the cache."""
    tall, wide = patches
    points = (tiling.side + TAPS - 1) ** 2
    bands, walked = -(-tall // tiling.band), tiling.band * wide
    products = points * depth * bands * machine.cycles(walked, channels, (tiling.rows, tiling.columns))
    weight_bytes, input_bytes = points * depth * channels * 4, points * depth * walked * 4
    loads = machine.weight_cycles(weight_bytes * (1 if weight_bytes < machine.l2_bytes // 2 else bands))
    if input_bytes > machine.l2_bytes:
        loads += machine.weight_cycles(input_bytes * bands * -(-channels // tiling.columns))
    transforms = (depth + channels) / machine.lanes * bands * walked * points * TRANSFORM_CYCLES
    return products + loads + transforms


def winograd_conv2d(
    data: te.Tensor, packed: te.Tensor, *, geometry: Geometry, channels: int, tiling: Tiling
) -> te.Tensor:
    """Convolve NHWC data with 3x3 filters at stride 1; `packed` as from pack_winograd_weight.

    The number of input channels is a multiple of the vector's lanes.
    """
    batch, height, width, depth = (int(size) for size in data.shape)
    side, points = tiling.side, tiling.side + TAPS - 1
    top, left, bottom, right = geometry.padding
    out_h, out_w = height + top + bottom - TAPS + 1, width + left + right - TAPS + 1
    tall, wide = round_up(-(-out_h // side), tiling.band), -(-out_w // side)
    blocks, _, _, columns = (int(size) for size in packed.shape)
    patches = tall * wide  # of an image, row by row

    def pixel(*axes: tirx.Var) -> tirx.Expr | te.TensorSlice:
        n, p, y, x, c = axes
        h, w = p // wide * side + y - top, p % wide * side + x - left
        inside = tvm.tirx.all(h >= 0, h < height, w >= 0, w < width)
        return tirx.if_then_else(inside, data[n, h, w, c], tirx.const(0, data.dtype))

    patch = te.compute((batch, patches, points, points, depth), pixel, name="winograd_patch")
    half = te.compute(
        (batch, patches, points, points, depth),
        lambda n, p, i, x, c: _row_of(_input_rows(side, lambda k: patch[n, p, k, x, c]), i),
        name="winograd_half",
    )
    turned = te.compute(
        (batch, points, points, patches, depth),
        lambda n, i, j, p, c: _row_of(_input_rows(side, lambda k: half[n, p, i, k, c]), j),
        name="winograd_input",
    )
    ic = te.reduce_axis((0, depth), "ic")
    product = te.compute(
        (batch, points, points, patches, blocks * columns),
        lambda n, i, j, p, o: te.sum(
            turned[n, i, j, p, ic] * packed[o // columns, i * points + j, ic, o % columns], axis=[ic]
        ),
        name="winograd",
        attrs={
            WINOGRAD: [side, tiling.rows, columns, tiling.band],
            FLOPS: 2 * batch * out_h * out_w * channels * depth * TAPS**2,
        },
    )
    narrow = te.compute(
        (batch, tall, wide, side, points, blocks * columns),
        lambda n, ty, tx, y, j, o: _row_of(
            _output_rows(side, lambda k: product[n, k, j, ty * wide + tx, o]), y
        ),
        name="winograd_narrow",
    )

    def output(n: tirx.Var, h: tirx.Var, w: tirx.Var, o: tirx.Var) -> tirx.Expr:
        rows = _output_rows(side, lambda k: narrow[n, h // side, w // side, h % side, k, o])
        return _row_of(rows, w % side)

    full = te.compute((batch, tall * side, wide * side, blocks * columns), output, name="winograd_output")
    return crop(full, (batch, out_h, out_w, channels))


def _row_of(rows: Sequence[tirx.Expr], number: tirx.Expr) -> tirx.Expr:
    """Give row `number`; the choice goes away where the loop over rows is unrolled."""
    chosen = rows[-1]
    for index in reversed(range(len(rows) - 1)):
        chosen = tirx.Select(number == index, rows[index], chosen)
    return chosen


def _input_rows(side: int, element: Element) -> list[tirx.Expr]:
    """Rows of the input's matrix times a vector; rows of opposite points share their parts.

    They agree at even places and are opposite at odd ones.
    """
    rows = []
    for row in TRANSFORMS[side].input:
        even = _sum([(row[place], element(place)) for place in range(0, len(row), 2)])
        odd = [(row[place], element(place)) for place in range(1, len(row), 2)]
        sign = -1.0 if next((factor for factor, _ in odd if factor), 1.0) < 0 else 1.0
        rows.append(_joined(even, sign, _sum([(sign * factor, term) for factor, term in odd])))
    return rows


def _output_rows(side: int, element: Element) -> list[tirx.Expr]:
    """Rows of the output's matrix times a vector; opposite points are added or subtracted first."""
    rows = []
    for row in TRANSFORMS[side].output:
        terms = [(row[0], element(0))]
        for first in range(1, len(row) - 1, 2):
            pair = element(first), element(first + 1)
            same = row[first] == row[first + 1]
            terms.append((row[first], pair[0] + pair[1] if same else pair[0] - pair[1]))
        rows.append(_sum([*terms, (row[-1], element(len(row) - 1))]))
    return rows


def _sum(terms: Sequence[tuple[float, tirx.Expr]]) -> tirx.Expr | None:
    """Sum of factor * term, without products by 0 and 1; None of nothing."""
    total = None
    for factor, term in terms:
        if factor:
            scaled = term if factor == 1 else term * tirx.const(factor, "float32")
            total = scaled if total is None else total + scaled
    return total


def _joined(
    left: tirx.Expr | te.TensorSlice | None, sign: float, right: tirx.Expr | te.TensorSlice | None
) -> tirx.Expr | None:
    if left is None:
        return right if right is None or sign > 0 else -right
    if right is None:
        return left
    return left + right if sign > 0 else left - right
