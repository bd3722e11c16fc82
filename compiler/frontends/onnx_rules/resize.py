"""Resize, one axis at a time: by a constant matrix (linear, cubic), or an index for each place (nearest)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compiler.frontends.onnx_rules.graph import Array, Writer

# What the front end reads as ONNX means it.
_READ_WELL = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")


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
    if w.node.op_type != "Resize" or w.attribute("mode", "nearest") not in ("nearest", "linear"):
        return True
    if w.attribute("coordinate_transformation_mode", "half_pixel") not in _READ_WELL:
        return True
    if any(w.attribute(name) for name in ("antialias", "axes", "exclude_outside")):
        return True
    if len(w.shape(w.input(0))) != 4 or w.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        return True
    scales = w.value(w.input(2))
    sizes = w.shape(w.input(0))
    whole = scales is None or all(
        abs(size * scale - round(size * scale)) < 1e-6 for size, scale in zip(sizes, scales, strict=False)
    )
    return not whole or w.dtype(w.input(0)) != np.float32


def resize(w: Writer) -> list[str] | None:
    """Write Resize of opset 11 and newer."""
    axes = _axes(w)
    if axes is None:
        return None
    mode, name = w.attribute("mode", "nearest"), w.input(0)
    dtype = w.dtype(name)
    inner = np.float32 if dtype != np.float64 and mode != "nearest" else dtype
    data = w.cast(name, inner) if inner != dtype else name
    shape = list(w.shape(name))
    outside: list[tuple[int, Array]] = []
    for axis in axes:
        if axis.size == axis.out and axis.scale == 1.0 and (axis.begin, axis.end) == (0.0, 1.0):
            continue
        places = np.array([_source(w, axis, x) for x in range(axis.out)])
        if mode == "nearest":
            data = w.op("Gather", data, w.const(_nearest(w, places, axis.size)), axis=axis.number)
        else:
            data = _product(w, data, _matrix(w, places, axis).astype(inner), axis.number, len(shape))
        shape[axis.number] = axis.out
        if w.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
            outside.append((axis.number, (places < 0) | (places > axis.size - 1)))
    for number, where in outside:
        if where.any():
            mask = w.const(where.reshape([-1 if at == number else 1 for at in range(len(shape))]), np.bool_)
            data = w.op("Where", mask, w.const(w.attribute("extrapolation_value", 0.0), inner), data)
    return [w.cast(data, dtype) if inner != dtype else w.op("Identity", data)]


def upsample(w: Writer) -> list[str] | None:
    """Write Upsample, which Resize's asymmetric mode replaced."""
    w.attributes.setdefault("coordinate_transformation_mode", "asymmetric")
    w.attributes.setdefault("nearest_mode", "floor")
    return resize(w)


def _axes(w: Writer) -> list[Axis] | None:
    shape = w.shape(w.input(0))
    numbers = [int(axis) % len(shape) for axis in w.attribute("axes", range(len(shape)))]
    old = w.node.op_type == "Upsample"
    scales = w.value(w.input(1 if old else 2))
    sizes = None if old else w.value(w.input(3))
    region = _region(w, len(numbers))
    if scales is not None and scales.size:
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
    return math.floor(size * scale * (1 + 1e-9)), scale


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


def _source(w: Writer, axis: Axis, x: int) -> float:
    """Where in the input the place `x` of the output lies."""
    way = w.attribute("coordinate_transformation_mode", "half_pixel")
    exact = axis.scale * axis.size
    middle = (x + 0.5) / axis.scale - 0.5
    if way == "asymmetric":
        return x / axis.scale
    if way == "align_corners":
        return 0.0 if exact <= 1 else x * (axis.size - 1) / (exact - 1)
    if way == "pytorch_half_pixel":
        return middle if exact > 1 else -0.5
    if way == "half_pixel_symmetric":
        return axis.size / 2 * (1 - axis.out / exact) + middle
    if way == "tf_crop_and_resize":
        span = (axis.end - axis.begin) * (axis.size - 1)
        begin = axis.begin * (axis.size - 1)
        return begin + (x * span / (axis.out - 1) if axis.out > 1 else span / 2)
    return middle


def _nearest(w: Writer, places: Array, size: int) -> Array:
    ways: dict[str, Callable[[Array], Array]] = {
        "round_prefer_floor": lambda at: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda at: np.floor(at + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    rounded: Array = ways[w.attribute("nearest_mode", "round_prefer_floor")](places)
    return np.clip(rounded, 0, size - 1).astype(np.int64)


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
