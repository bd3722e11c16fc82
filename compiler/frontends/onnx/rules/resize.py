"""Resize, one axis at a time: by a constant matrix (linear, cubic), or an index for each place (nearest)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modeldyno.compiler.frontends.onnx.rules.graph import Refused, Writer
from modeldyno.compiler.model.arrays import Array

# What the front end reads as ONNX means it, where the sizes are a whole multiple or share.
_READ_WELL = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
_HALF = 1e-6  # a place that is so near to a half is one to ONNX Runtime
_F = np.float32  # ONNX Runtime finds places in float32: a nearest place may be another one in float64


@dataclass(frozen=True)
class Axis:
    """One axis to resize; `begin` and `end` are the region of interest, as shares of the axis."""

    number: int
    size: int
    out: int
    scale: float
    begin: float = 0.0
    end: float = 1.0


def misread(w: Writer) -> bool:
    """Whether the front end gives other numbers for this node, or stops at it."""
    mode = w.attribute("mode", "nearest")
    if w.node.op_type != "Resize" or w.opset < 11 or mode not in ("nearest", "linear"):
        return True
    if any(w.attribute(name) for name in ("antialias", "axes", "exclude_outside")):
        return True
    way = w.attribute("coordinate_transformation_mode", "half_pixel")
    if way not in _READ_WELL or w.dtype(w.input(0)) != np.float32 or len(w.shape(w.input(0))) != 4:
        return True
    axes = _axes(w)
    if axes is None or any(axis.scale != 1 for axis in axes[:2]):
        return True
    if mode == "nearest":
        return not all(_is_repeat(w, way, axis) for axis in axes[2:])
    return not all(axis.out > 1 and _is_whole(axis) for axis in axes[2:])


def _is_whole(axis: Axis) -> bool:
    return abs(axis.size * axis.scale - axis.out) < 1e-6


def _is_repeat(w: Writer, way: str, axis: Axis) -> bool:
    """Whether each place is repeated a whole number of times, in a mode in which none lies between two."""
    rounding = w.attribute("nearest_mode", "round_prefer_floor")
    plain = (way == "asymmetric" and rounding == "floor") or (
        way in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round") and axis.out > 1
    )
    return plain and axis.scale >= 1 and axis.scale == round(axis.scale)


def resize(w: Writer) -> list[str] | None:
    """Write Resize.

    Raises:
        Refused: numbers between whole ones, which ONNX Runtime rounds by its own order of sums.
    """
    axes = _axes(w)
    if axes is None:
        return None
    if w.opset < 11:  # as Upsample, which it replaced
        return _resized(w, axes, "asymmetric", "simple")
    way = w.attribute("coordinate_transformation_mode", "half_pixel")
    return _resized(w, axes, way, w.attribute("nearest_mode", "round_prefer_floor"))


def upsample(w: Writer) -> list[str] | None:
    """Write Upsample, which Resize's asymmetric mode replaced; raises as `resize`."""
    axes = _axes(w)
    return None if axes is None else _resized(w, axes, "asymmetric", "simple")


def _resized(w: Writer, axes: list[Axis], way: str, rounding: str) -> list[str]:
    mode, name = w.attribute("mode", "nearest"), w.input(0)
    shape, dtype = list(w.shape(name)), w.dtype(name)
    changed = [axis for axis in axes if axis.scale != 1.0]
    places = [np.array([_source(way, axis, x) for x in range(axis.out)]) for axis in changed]
    if not changed:
        return [w.op("Identity", name)]
    if mode == "nearest":
        if way == "half_pixel_symmetric":
            _refuse_borders(rounding, places)
        for axis, at in zip(changed, places, strict=True):
            index = w.const(_nearest(rounding, at, axis))
            name = w.op("Gather", name, index, axis=axis.number)
    elif dtype.kind in "iu":
        return [_between_whole_numbers(w, changed, places)]
    else:
        inner = dtype if dtype == np.float64 else np.dtype(np.float32)
        name = w.cast(name, inner) if inner != dtype else name
        for axis, at in zip(changed, places, strict=True):
            name = _product(w, name, _matrix(w, at, axis).astype(inner), axis.number, len(shape))
        name = w.cast(name, dtype) if inner != dtype else name
    if way == "tf_crop_and_resize":
        name = _extrapolated(w, name, changed, places)
    return [w.op("Identity", name)]


def _refuse_borders(rounding: str, places: list[Array]) -> None:
    """Refuse places that a rounding error moves to the other side: this mode's may differ in the last bit."""
    border = 0.5 if rounding.startswith("round") else 0.0
    for at in places:
        if (np.abs(at - border - np.round(at - border)) < 1e-5).any():
            raise Refused(
                "mode 'nearest' with 'half_pixel_symmetric' has places just between two here; "
                "export with 'half_pixel'"
            )


def _extrapolated(w: Writer, name: str, axes: list[Axis], places: list[Array]) -> str:
    rank = len(w.shape(w.input(0)))
    for axis, at in zip(axes, places, strict=True):
        where = (at < 0) | (at > axis.size - 1)
        if where.any():
            mask = w.const(where.reshape([-1 if n == axis.number else 1 for n in range(rank)]), np.bool_)
            value = w.const(w.attribute("extrapolation_value", 0.0), w.dtype(w.input(0)))
            name = w.op("Where", mask, value, name)
    return name


def _between_whole_numbers(w: Writer, axes: list[Axis], places: list[Array]) -> str:
    """Four neighbours times their shares, summed in ONNX Runtime's order: what is left over is cut off."""
    rank, dtype = len(w.shape(w.input(0))), w.dtype(w.input(0))
    plain = w.attribute("mode") == "linear" and not w.attribute("antialias", 0)
    if not plain or any(axis.number < rank - 2 for axis in axes):
        kind = "cubic" if w.attribute("mode") == "cubic" else "linear"
        raise Refused(f"{kind} interpolation of {dtype.name} is not supported; cast to float32 first")
    neighbours = {axis.number: _neighbours(at, axis.size) for axis, at in zip(axes, places, strict=True)}
    one = np.ones(1, np.float32)
    found: list[str] = []
    for second_y in (0, 1):
        for second_x in (0, 1):
            name, shares = w.input(0), []
            for number, second in ((rank - 2, second_y), (rank - 1, second_x)):
                at = neighbours.get(number)
                shares.append((one if not second else 0 * one) if at is None else at[1][second])
                name = name if at is None else w.op("Gather", name, w.const(at[0][second]), axis=number)
            share = w.const(shares[1][None, :] * shares[0][:, None], np.float32)
            found.append(w.op("Mul", share, w.cast(name, np.float32)))
    total = found[0]
    for part in found[1:]:
        total = w.op("Add", total, part)
    return w.cast(total, dtype)


def _neighbours(places: Array, size: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give the two places beside each, and the share of each."""
    inside = np.clip(places, 0, size - 1).astype(np.float32)
    low = np.minimum(inside.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    to_low, to_high = np.abs(inside - low.astype(_F)), np.abs(inside - high.astype(_F))
    same = low == high
    return (low, high), (np.where(same, _F(0.5), to_high), np.where(same, _F(0.5), to_low))


def _axes(w: Writer) -> list[Axis] | None:
    shape = w.shape(w.input(0))
    numbers = [int(axis) % len(shape) for axis in w.attribute("axes", range(len(shape)))]
    old = w.node.op_type == "Upsample" or w.opset < 11
    scales = w.attribute("scales") or w.value(w.input(1 if old else 2))
    sizes = None if old else w.value(w.input(3))
    region = _region(w, len(numbers))
    if scales is not None and len(scales):
        ends = [_by_scale(shape[number], float(scale)) for number, scale in zip(numbers, scales, strict=True)]
    elif sizes is not None:
        ends = [_by_size(w, [shape[n] for n in numbers], sizes, place) for place in range(len(numbers))]
    else:
        return None
    if region is None:
        return None
    return [
        Axis(number, shape[number], *end, *part)
        for number, end, part in zip(numbers, ends, region, strict=True)
    ]


def _by_scale(size: int, scale: float) -> tuple[int, float]:
    return int(_F(size) * _F(scale)), scale


def _region(w: Writer, count: int) -> list[tuple[float, float]] | None:
    if w.attribute("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize":
        return [(0.0, 1.0)] * count
    values = w.value(w.input(1))
    if values is None or values.size != 2 * count:
        return None
    return [(float(values[place]), float(values[count + place])) for place in range(count)]


def _by_size(w: Writer, shape: list[int], sizes: Array, place: int) -> tuple[int, float]:
    policy = w.attribute("keep_aspect_ratio_policy", "stretch")
    ratios = [int(size) / old for size, old in zip(sizes, shape, strict=True)]
    if policy == "stretch":
        return int(sizes[place]), ratios[place]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return math.floor(scale * shape[place] + 0.5), scale


def _source(way: str, axis: Axis, x: int) -> np.float32:
    """Where in the input the place `x` of the output lies, as ONNX Runtime's `get_original_coordinate`."""
    at, scale, size, out = _F(x), _F(axis.scale), _F(axis.size), _F(axis.out)
    if way == "tf_crop_and_resize":
        return _in_region(axis, at)
    if way == "asymmetric":
        return at / scale
    if out == 1 and way in ("align_corners", "pytorch_half_pixel"):
        return _F(0)
    if way == "align_corners":
        return at * (size - _F(1)) / (out - _F(1))
    offset = size / _F(2) * (_F(1) - out / (scale * size)) if way == "half_pixel_symmetric" else _F(0)
    return offset + (at + _F(0.5)) / scale - _F(0.5)


def _in_region(axis: Axis, at: np.float32) -> np.float32:
    begin, end, last = _F(axis.begin), _F(axis.end), _F(axis.size - 1)
    if axis.out == 1:
        return _F(0.5) * (begin + end) * last
    return begin * last + at * (end - begin) * last / _F(axis.out - 1)


def _nearest(rounding: str, places: Array, axis: Axis) -> Array:
    exact = places.astype(np.float64)
    ways: dict[str, Callable[[Array], Array]] = {
        "round_prefer_floor": lambda at: np.ceil(at - 0.5 - _HALF),
        "round_prefer_ceil": lambda at: np.floor(at + 0.5 + _HALF),
        "floor": np.floor,
        "ceil": np.ceil,
        "simple": np.ceil if axis.scale < 1 else np.floor,  # of opsets before 11
    }
    return np.clip(ways[rounding](exact), 0, axis.size - 1).astype(np.int64)


def _matrix(w: Writer, places: Array, axis: Axis) -> Array:
    """Give how much each place of the input counts in each of the output."""
    cubic = w.attribute("mode") == "cubic"
    a = float(w.attribute("cubic_coeff_a", -0.75))
    squeeze = min(axis.scale, 1.0) if w.attribute("antialias", 0) else 1.0
    reach = (2 if cubic else 1) / squeeze
    matrix = np.zeros((len(places), axis.size))
    for row, at in enumerate(places):
        taps = np.arange(math.ceil(at - reach), math.floor(at + reach) + 1)
        distance = np.abs(taps - at) * squeeze
        weights = _cubic(distance, a) if cubic else np.maximum(0.0, 1.0 - distance)
        if w.attribute("exclude_outside", 0):
            weights = np.where((taps >= 0) & (taps < axis.size), weights, 0.0)
        if weights.sum():
            weights = weights / weights.sum()
        np.add.at(matrix[row], np.clip(taps, 0, axis.size - 1), weights)
    return matrix


def _cubic(d: Array, a: float) -> Array:
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _product(w: Writer, data: str, matrix: Array, axis: int, rank: int) -> str:
    if axis == rank - 1:
        return w.op("MatMul", data, w.const(matrix.T, matrix.dtype))
    if axis == rank - 2:
        return w.op("MatMul", w.const(matrix, matrix.dtype), data)
    order = [*(at for at in range(rank) if at != axis), axis]
    moved = w.op("MatMul", w.transpose(data, order), w.const(matrix.T, matrix.dtype))
    return w.transpose(moved, [order.index(at) for at in range(rank)])
