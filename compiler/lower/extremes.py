"""Legalization of max, min, argmax and argmin: NaN and infinities as in ONNX Runtime, a place that exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from modeldyno.compiler.graph.fold import constant
from modeldyno.compiler.graph.rewrite import shape_of
from modeldyno.compiler.kernels import extremes

if TYPE_CHECKING:
    from tvm import relax, te

Legalize: TypeAlias = "Callable[[relax.BlockBuilder, relax.Call], relax.Expr]"
# TVM's number for "reduces": FuseOps computes the element-wise work before such a kernel inside it.
_REDUCES = 3
# Poolings by their operator, with the layout that has channels first.
WINDOWS = {"relax.nn.max_pool1d": "NCW", "relax.nn.max_pool2d": "NCHW", "relax.nn.max_pool3d": "NCDHW"}


def extreme_kernels(lanes: int) -> dict[str, Legalize]:
    """Legalization of the operators for LegalizeOps, `lanes` numbers in a vector; others keep their own.

    On a GPU (no lanes) reductions stay TVM's: threads can share those alone, and they begin with the least
    finite number.
    """
    rules: dict[str, Legalize] = dict.fromkeys(WINDOWS, window_max) if lanes else {}
    for kind in extremes.EXTREMES:
        if lanes:
            rules[f"relax.{kind}"] = partial(over_axes, kind=kind, lanes=lanes)
        rules[f"relax.arg{kind}"] = partial(_place, kind=kind, lanes=lanes)
        rules[f"relax.{kind}imum"] = partial(_of_two, kind=kind)
    return rules


def over_axes(builder: relax.BlockBuilder, call: relax.Call, *, kind: str, lanes: int) -> relax.Call:
    """Give a max or min over axes its kernel; the call itself where the shape is not fixed, or empty."""
    shape = shape_of(call.args[0])
    if not shape or 0 in shape or not _is_number(call.args[0]):
        return call
    given = range(len(shape)) if call.attrs.axis is None else call.attrs.axis
    axes = sorted({int(axis) % len(shape) for axis in given})
    if not axes:
        return call
    kernel = partial(
        extremes.over_axes, kind=kind, axes=axes, keep=bool(call.attrs.keepdims), lanes=_lanes(shape, lanes)
    )
    return _reduction(builder, kernel, call.args[0], kind)


def window_max(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    """Give a max pooling of floats with channels first its kernel; other calls stay as they are."""
    attrs, shape, out = call.attrs, shape_of(call.args[0]), shape_of(call)
    layouts = {str(attrs.layout), str(attrs.out_layout) or str(attrs.layout)}
    first = layouts == {WINDOWS[str(call.op.name)]}
    if not first or shape is None or out is None or 0 in (*shape, *out):
        return call
    if not extremes.is_float(call.args[0].ty.dtype):
        return call
    spatial = len(shape) - 2

    def each(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(value) for value in values)

    sides = each(attrs.padding)
    window = extremes.Window(
        each(attrs.pool_size),
        each(attrs.strides),
        each(attrs.dilation),
        tuple(zip(sides[:spatial], sides[spatial:], strict=True)),
        out[2:],
    )
    return _reduction(
        builder, partial(extremes.over_windows, window=window), call.args[0], f"max_pool{spatial}d"
    )


def place_of(
    builder: relax.BlockBuilder, data: relax.Expr, *, kind: str, axis: int, keep: bool, last: bool, lanes: int
) -> relax.Call:
    """Give an argmax or argmin along one axis of a tensor of fixed shape as a call of its kernel."""
    shape = shape_of(data) or ()
    kernel = partial(
        extremes.place_of,
        kind=kind,
        axis=axis % len(shape),
        keep=keep,
        last=last,
        lanes=_lanes(shape, lanes),
    )
    return _reduction(builder, kernel, data, f"arg{kind}")


def _place(builder: relax.BlockBuilder, call: relax.Call, *, kind: str, lanes: int) -> relax.Call:
    shape = shape_of(call.args[0])
    if not shape or 0 in shape or call.attrs.axis is None or not _is_number(call.args[0]):
        return call
    axis, keep = int(call.attrs.axis), bool(call.attrs.keepdims)
    return place_of(builder, call.args[0], kind=kind, axis=axis, keep=keep, last=False, lanes=lanes)


def _of_two(builder: relax.BlockBuilder, call: relax.Call, *, kind: str) -> relax.Call:
    left, right = call.args
    if shape_of(call) is None or not extremes.is_float(call.ty.dtype):
        return call
    for data, other in ((left, right), (right, left)):
        number = constant(other)
        if number is not None and number.size == 1 and shape_of(data) == shape_of(call):
            value = number.reshape(-1)[0]
            if not np.isnan(value):
                kernel = partial(extremes.with_number, number=float(value), kind=kind)
                return builder.call_te(kernel, data, primfunc_name_hint=f"{kind}imum")
    return builder.call_te(partial(extremes.of_two, kind=kind), left, right, primfunc_name_hint=f"{kind}imum")


def _reduction(
    builder: relax.BlockBuilder, kernel: Callable[..., te.Tensor], data: relax.Expr, hint: str
) -> relax.Call:
    return builder.call_te(kernel, data, primfunc_name_hint=hint, primfunc_attrs={"op_pattern": _REDUCES})


def _lanes(shape: tuple[int, ...], lanes: int) -> int:
    return (
        lanes if len(shape) > 1 else min(lanes, 1)
    )  # the whole of one axis is one result: no loop to share or split


def _is_number(expr: relax.Expr) -> bool:
    kind = str(expr.ty.dtype)
    return kind.startswith(("int", "uint")) or extremes.is_float(kind)
