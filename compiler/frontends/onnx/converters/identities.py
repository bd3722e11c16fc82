"""Arithmetic that TVM's simplifier would decide as if no number were NaN or infinite.

It gives 0 for x - x and x * 0, and true for x == x, of floats too. Where both operands are one tensor, or one
is the number 0, the result is written as what it depends on: whether x is finite, or a number at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from modeldyno.compiler.frontends.onnx.converters.converter import Converter, Params

if TYPE_CHECKING:
    from tvm import relax
    from tvm.relax.frontend.onnx.onnx_frontend import onnx_input


def of_one_tensor(
    make: Callable[[relax.BlockBuilder, relax.Expr], relax.Expr],
) -> Callable[[Converter], Converter]:
    """Wrap a converter: where both inputs are the same float tensor, `make` gives the result."""

    def wrap(theirs: Converter) -> Converter:
        def convert(
            builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
        ) -> relax.Expr:
            left, right = inputs
            if not left.same_as(right) or not _is_float(left):
                return theirs(builder, inputs, attributes, params)
            return make(builder, left)

        return convert

    return wrap


def difference(builder: relax.BlockBuilder, data: relax.Expr) -> relax.Expr:
    """Give x - x."""
    return _finite_or_none(builder, data, 0)


def quotient(builder: relax.BlockBuilder, data: relax.Expr) -> relax.Expr:
    """Give x / x: 1, and no number where x is 0 or not finite."""
    from tvm import relax

    one = _finite_or_none(builder, data, 1)
    zero = builder.normalize(relax.op.equal(data, relax.const(0, str(data.ty.dtype))))
    return relax.op.where(zero, relax.const(np.nan, str(data.ty.dtype)), builder.normalize(one))


def is_number(builder: relax.BlockBuilder, data: relax.Expr) -> relax.Expr:
    """Give x == x."""
    from tvm import relax

    return relax.op.logical_not(builder.normalize(relax.op.isnan(data)))


def times_zero(theirs: Converter) -> Converter:
    """Wrap the converter of a product: one number 0 as an operand gives 0, or no number."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from modeldyno.compiler.graph.fold import constant
        from modeldyno.compiler.graph.rewrite import shape_of

        for data, other in (list(inputs), list(inputs)[::-1]):
            number, wide = constant(other), shape_of(data)
            if number is None or wide is None or constant(data) is not None or not _is_float(data):
                continue
            if number.size == 1 and number.ndim <= len(wide) and not number.any():
                return _finite_or_none(builder, data, 0)
        return theirs(builder, inputs, attributes, params)

    return convert


def _is_float(data: relax.Expr) -> bool:
    return str(getattr(getattr(data, "ty", None), "dtype", "")).startswith("float")


def _finite_or_none(builder: relax.BlockBuilder, data: relax.Expr, number: float) -> relax.Expr:
    from tvm import relax

    dtype = str(data.ty.dtype)
    finite = builder.normalize(relax.op.isfinite(data))
    return relax.op.where(finite, relax.const(number, dtype), relax.const(np.nan, dtype))
