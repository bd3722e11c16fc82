"""Slices whose bounds are computed: one that ends before it begins is empty.

TVM's own size is negative there, and asks for more memory than there is.
"""

from __future__ import annotations

from typing import Any

from tvm import relax, te, tirx, topi


def open_slice(builder: Any, call: Any) -> Any:
    """Give the kernel of `relax.dynamic_strided_slice`."""
    sizes = builder.emit(builder.call_te(_sizes, *call.args, primfunc_name_hint="slice_sizes"))
    shape = builder.emit(relax.op.tensor_to_shape(sizes))
    known = [tirx.Var("s", "int64") for _ in range(int(sizes.ty.shape[0]))]
    builder.match_cast(shape, relax.ShapeType(known))
    return builder.call_te(topi.dynamic_strided_slice, *call.args, output_shape=known)


def _sizes(data: Any, begin: Any, end: Any, strides: Any) -> Any:
    """Give the result's size along each axis."""

    def size(axis: Any) -> Any:
        extent = tirx.const(0, "int64")
        for number, each in enumerate(data.shape):
            extent = tirx.Select(axis == number, tirx.Cast("int64", each), extent)
        back = strides[axis] < 0
        low, high = tirx.Select(back, -1, 0), tirx.Select(back, extent - 1, extent)

        def within(bound: Any) -> Any:
            from_begin = tirx.Select(bound < 0, bound + extent, bound)
            return tirx.Min(tirx.Max(from_begin, tirx.Cast("int64", low)), high)

        first, last = within(begin[axis]), within(end[axis])
        ahead = tirx.ceildiv(last - first, strides[axis])
        behind = tirx.ceildiv(first - last, -strides[axis])
        return tirx.Max(tirx.Select(back, behind, ahead), tirx.const(0, "int64"))

    return te.compute((begin.shape[0],), size, name="slice_sizes")
