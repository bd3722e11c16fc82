"""Converters of operators that look for the largest or smallest: NaN and infinities as in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from modeldyno.compiler.frontends.onnx.converters.converter import Converter, Params
from modeldyno.compiler.model.arrays import Array

if TYPE_CHECKING:
    from tvm import relax
    from tvm.relax.frontend.onnx.onnx_frontend import onnx_input


def pairwise(operator: str, combine: Callable[[Array, Array], Array]) -> Callable[[Converter], Converter]:
    """Max and Min two by two: TVM would stack all inputs, and begin with a finite number."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, _attributes: dict[str, Any], _params: Params
    ) -> relax.Expr:
        from tvm import ir, relax

        def two(left: relax.Expr, right: relax.Expr) -> relax.Expr:
            if isinstance(left, ir.GenericConst) and isinstance(right, ir.GenericConst):
                found = combine(left.value.numpy(), right.value.numpy())
                return relax.const(found, str(found.dtype))
            return builder.normalize(getattr(relax.op, operator)(left, right))

        return reduce(two, list(inputs))

    return lambda _theirs: convert


def place(kind: str) -> Callable[[Converter], Converter]:
    """ArgMax and ArgMin: with `select_last_index` TVM turns the axis around, and with it what comes first."""

    def make(theirs: Converter) -> Converter:
        def convert(
            builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
        ) -> relax.Expr:
            from modeldyno.compiler.graph.rewrite import shape_of
            from modeldyno.compiler.lower.extremes import place_of

            shape = shape_of(inputs[0])
            if not attributes.get("select_last_index", 0) or not shape or 0 in shape:
                return theirs(builder, inputs, attributes, params)
            return place_of(
                builder,
                inputs[0],
                kind=kind,
                axis=int(attributes.get("axis", 0)),
                keep=bool(attributes.get("keepdims", 1)),
                last=True,
                lanes=1,
            )

        return convert

    return make


def max_pool(theirs: Converter) -> Converter:
    """Max pooling over one axis, three, or all: ONNX Runtime begins with the least finite number there.

    Over two axes, or with dilation, it begins with what the window holds (or, where padding cuts a window at
    its left or right, with that number too, which nobody should rely on).
    """

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import relax

        found = theirs(builder, inputs, attributes, params)
        dtype = str(inputs[0].ty.dtype)
        gaps = {int(gap) for gap in attributes.get("dilations", ())}
        plane = "kernel_shape" in attributes and len(inputs[0].ty.shape) == 4
        if plane or not dtype.startswith("float") or gaps - {1}:
            return found
        least = relax.const(np.finfo(dtype).min, dtype)
        return relax.op.maximum(builder.normalize(found), least)

    return convert


def hardmax(theirs: Converter) -> Converter:
    """Hardmax of a row that begins with no number is 0 everywhere: nothing equals its maximum."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import relax

        found = builder.normalize(theirs(builder, inputs, attributes, params))
        if "axis" not in attributes and len(inputs[0].ty.shape) != 2:
            return found  # the default axis depends on the version; TVM knows
        axis = int(attributes.get("axis", -1))
        highest = builder.normalize(relax.op.max(inputs[0], axis, True))
        none = builder.normalize(relax.op.isnan(highest))
        return relax.op.where(none, relax.const(0, str(found.ty.dtype)), found)

    return convert


def top_k(theirs: Converter) -> Converter:
    """TopK of one place is the max or min and where it stands: nothing has to be sorted."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import ir, relax

        known = (
            inputs[1].value.numpy() if len(inputs) > 1 and isinstance(inputs[1], ir.GenericConst) else None
        )
        count = attributes.get("k", 1) if len(inputs) < 2 else known
        if count is None or np.size(count) != 1 or int(np.reshape(count, ())) != 1:
            return theirs(builder, inputs, attributes, params)
        axis, op = int(attributes.get("axis", -1)), relax.op
        value, place = (op.max, op.argmax) if attributes.get("largest", 1) else (op.min, op.argmin)
        found = builder.normalize(value(inputs[0], axis, True))
        return relax.Tuple([found, builder.normalize(place(inputs[0], axis, True))])

    return convert


def log_sum_exp(theirs: Converter) -> Converter:
    """log(sum(exp(x - max))) + max, where the maximum is finite; an infinite one is the result itself.

    What is no number makes the sum none.
    """

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import ir, relax

        data, dtype = inputs[0], str(inputs[0].ty.dtype)
        axes = attributes.get("axes")
        if len(inputs) > 1 and inputs[1] is not None:
            if not isinstance(inputs[1], ir.GenericConst):
                return theirs(builder, inputs, attributes, params)
            axes = inputs[1].value.numpy().reshape(-1).tolist()
        if (not axes and attributes.get("noop_with_empty_axes", 0)) or not dtype.startswith("float"):
            return theirs(builder, inputs, attributes, params)
        where, emit, op = [int(axis) for axis in axes] if axes else None, builder.normalize, relax.op
        highest = emit(op.max(data, where, True))
        infinite = emit(op.equal(emit(op.abs(highest)), relax.const(np.inf, dtype)))
        offset = emit(op.where(infinite, relax.const(0, dtype), highest))
        total = emit(op.sum(emit(op.exp(emit(op.subtract(data, offset)))), where, True))
        found = emit(op.add(emit(op.log(total)), offset))
        kept = emit(op.where(emit(op.isnan(total)), total, highest))
        found = emit(op.where(infinite, kept, found))
        return found if attributes.get("keepdims", 1) else op.squeeze(found, where)

    return convert
