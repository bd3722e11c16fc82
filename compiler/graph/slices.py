"""Slices whose bounds are computed: one that ends before it begins is empty.

TVM's own size is negative there, and asks for more memory than there is; where a step is negative, its own
begin lies before the axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax, te, tirx

_TO_THE_END = (np.iinfo(np.int32).max, np.iinfo(np.int64).max)  # as an end, for ONNX Runtime


def open_slice(builder: Any, call: Any) -> Any:
    """Give the kernel of `relax.dynamic_strided_slice`."""
    sizes = builder.emit(builder.call_te(_sizes, *call.args, primfunc_name_hint="slice_sizes"))
    begins = builder.emit(builder.call_te(_begins, *call.args, primfunc_name_hint="slice_begins"))
    shape = builder.emit(relax.op.tensor_to_shape(sizes))
    known = [tirx.Var("s", "int64") for _ in range(int(sizes.ty.shape[0]))]
    builder.match_cast(shape, relax.ShapeType(known))
    return builder.call_te(_sliced, call.args[0], begins, call.args[3], sizes=known)


def _sliced(data: Any, begins: Any, strides: Any, sizes: Any) -> Any:
    def element(*places: Any) -> Any:
        return data[tuple(begins[axis] + place * strides[axis] for axis, place in enumerate(places))]

    return te.compute(tuple(sizes), element, name="dynamic_strided_slice")


def _extent(data: Any, axis: Any) -> Any:
    extent = tirx.const(0, "int64")
    for number, each in enumerate(data.shape):
        extent = tirx.Select(axis == number, tirx.Cast("int64", each), extent)
    return extent


def _within(bound: Any, extent: Any, low: int, high: Any) -> Any:
    """Give a bound counted from the begin, between the lowest and the highest that it may be."""
    from_begin = tirx.Select(bound < 0, bound + extent, bound)
    return tirx.Min(tirx.Max(from_begin, tirx.const(low, "int64")), high)


def _begin(data: Any, begin: Any, strides: Any, axis: Any) -> Any:
    extent = _extent(data, axis)
    return _within(begin[axis], extent, 0, tirx.Select(strides[axis] < 0, extent - 1, extent))


def _begins(data: Any, begin: Any, _end: Any, strides: Any) -> Any:
    """Give the first place along each axis."""
    return te.compute((begin.shape[0],), lambda axis: _begin(data, begin, strides, axis), name="slice_begins")


def _sizes(data: Any, begin: Any, end: Any, strides: Any) -> Any:
    """Give the result's size along each axis."""

    def size(axis: Any) -> Any:
        extent, back = _extent(data, axis), strides[axis] < 0
        first = _begin(data, begin, strides, axis)
        all_left = tirx.any(*(end[axis] == tirx.const(int(most), "int64") for most in _TO_THE_END))
        last_back = tirx.Select(all_left, tirx.const(-1, "int64"), _within(end[axis], extent, -1, extent - 1))
        # Steps beyond the axis give one element; they are cut, since sums with them would wrap around.
        step = tirx.Min(tirx.Max(strides[axis], -extent - 1), extent + 1)
        ahead = tirx.ceildiv(_within(end[axis], extent, 0, extent) - first, step)
        behind = tirx.ceildiv(first - last_back, -step)
        return tirx.Max(tirx.Select(back, behind, ahead), tirx.const(0, "int64"))

    return te.compute((begin.shape[0],), size, name="slice_sizes")
