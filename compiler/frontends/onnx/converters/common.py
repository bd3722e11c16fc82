"""Converters of our own for ONNX operators that TVM's front end reads otherwise than ONNX Runtime.

They differ for NaN, infinities and what does not fit the result's type. An operator that can be written as
others is a rule (`rules`) instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from modeldyno.compiler.frontends.onnx.converters import curves, extremes, identities
from modeldyno.compiler.frontends.onnx.converters.converter import Converter, Params

if TYPE_CHECKING:
    from tvm import relax
    from tvm.relax.frontend.onnx.onnx_frontend import OnnxOpConverter, onnx_input


@contextmanager
def own_converters() -> Iterator[None]:
    """Let TVM's front end find our converters beside its own, and before them."""
    from tvm.relax.frontend.onnx import onnx_frontend

    theirs = onnx_frontend._get_convert_map
    ours = _classes(theirs())
    onnx_frontend._get_convert_map = lambda: {**theirs(), **ours}
    try:
        yield
    finally:
        onnx_frontend._get_convert_map = theirs


def _classes(theirs: dict[str, type[OnnxOpConverter]]) -> dict[str, type]:
    """Give what TVM asks for the version that it wants, which is ours whatever the version."""
    return {name: _own(theirs.get(name), make) for name, make in _CONVERTERS.items()}


def known_operators() -> frozenset[str]:
    """Names of the operators that TVM's front end or we have a converter for."""
    from tvm.relax.frontend.onnx import onnx_frontend

    return frozenset(onnx_frontend._get_convert_map()) | frozenset(_CONVERTERS)


def _own(theirs: type[OnnxOpConverter] | None, make: Callable[[Converter], Converter]) -> type:
    class Own:
        @staticmethod
        def get_converter(opset: int) -> Converter:
            return make(theirs.get_converter(opset) if theirs else _unknown)

    return Own


def _unknown(*_args: object) -> NoReturn:
    raise NotImplementedError("an operator that TVM does not know, in a form that we don't")


def _cast(theirs: Converter) -> Converter:
    """Cast of floats to int32 and int64: what does not fit becomes the least number, as on x86 processors."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from onnx import helper
        from tvm import ir, relax

        data, to = inputs[0], attributes["to"]
        wanted = np.dtype(to if isinstance(to, str) else helper.tensor_dtype_to_np_dtype(int(to)))
        given = str(getattr(getattr(data, "ty", None), "dtype", ""))
        known = isinstance(data, ir.GenericConst)
        if known or wanted.name not in ("int32", "int64") or given not in ("float32", "float64"):
            return theirs(builder, inputs, attributes, params)
        least = np.iinfo(wanted).min
        # Both bounds are powers of two, which a float holds exactly; a NaN is within none.
        above = builder.normalize(relax.op.greater_equal(data, relax.const(float(least), given)))
        below = builder.normalize(relax.op.less(data, relax.const(-float(least), given)))
        fits = builder.normalize(relax.op.logical_and(above, below))
        whole = builder.normalize(relax.op.astype(data, wanted.name))
        return relax.op.where(fits, whole, relax.const(least, wanted.name))

    return convert


def _thresholded(_theirs: Converter) -> Converter:
    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], _params: Params
    ) -> relax.Expr:
        from tvm import relax

        data, dtype = inputs[0], str(inputs[0].ty.dtype)
        above = relax.op.greater(data, relax.const(float(attributes.get("alpha", 1.0)), dtype))
        return relax.op.where(builder.normalize(above), data, relax.const(0, dtype))

    return convert


def _sign(theirs: Converter) -> Converter:
    """Sign of what is no number is none."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import relax

        found = theirs(builder, inputs, attributes, params)
        if not str(inputs[0].ty.dtype).startswith("float"):
            return found
        none = builder.normalize(relax.op.isnan(inputs[0]))
        return relax.op.where(none, inputs[0], builder.normalize(found))

    return convert


def _clip(theirs: Converter) -> Converter:
    """Clip without bounds cuts off infinities, as the operator says."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import relax, tirx

        data = inputs[0]
        dtype = str(data.ty.dtype)
        bounded = any(each is not None for each in list(inputs)[1:]) or {"min", "max"} & set(attributes)
        if bounded or not dtype.startswith("float"):
            return theirs(builder, inputs, attributes, params)
        most = float(np.finfo(dtype).max)
        return relax.op.clip(data, tirx.FloatImm("float64", -most), tirx.FloatImm("float64", most))

    return convert


def _celu(_theirs: Converter) -> Converter:
    """Celu as max(0, x) - a * max(0, 1 - exp(x / a)), which overflows nowhere.

    ONNX's definition scales by x / a back and forth.
    """

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], _params: Params
    ) -> relax.Expr:
        from tvm import relax

        data, op, emit = inputs[0], relax.op, builder.normalize
        dtype, alpha = str(data.ty.dtype), float(attributes.get("alpha", 1.0))
        powers = emit(op.exp(emit(op.multiply(data, relax.const(1 / alpha, dtype)))))
        missing = emit(op.nn.relu(emit(op.subtract(relax.const(1, dtype), powers))))
        return op.subtract(emit(op.nn.relu(data)), emit(op.multiply(missing, relax.const(alpha, dtype))))

    return convert


def _quantize(theirs: Converter) -> Converter:
    """QuantizeLinear of what is no number is the least of the type."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import relax

        data, dtype = inputs[0], str(inputs[0].ty.dtype)
        if not dtype.startswith("float"):
            return theirs(builder, inputs, attributes, params)
        least = relax.const(np.finfo(dtype).min, dtype)
        none = builder.normalize(relax.op.isnan(data))
        inputs[0] = builder.normalize(relax.op.where(none, least, data))
        return theirs(builder, inputs, attributes, params)

    return convert


_CONVERTERS: dict[str, Callable[[Converter], Converter]] = {
    "ArgMax": extremes.place("max"),
    "ArgMin": extremes.place("min"),
    "Cast": _cast,
    "Div": identities.of_one_tensor(identities.quotient),
    "Equal": identities.of_one_tensor(identities.is_number),
    "GreaterOrEqual": identities.of_one_tensor(identities.is_number),
    "LessOrEqual": identities.of_one_tensor(identities.is_number),
    "Mul": identities.times_zero,
    "QuantizeLinear": _quantize,
    "Sub": identities.of_one_tensor(identities.difference),
    "Celu": _celu,
    "Clip": _clip,
    "GlobalMaxPool": extremes.max_pool,
    "Hardmax": extremes.hardmax,
    "Max": extremes.pairwise("maximum", np.maximum),
    "MaxPool": extremes.max_pool,
    "Min": extremes.pairwise("minimum", np.minimum),
    "Mish": curves.mish,
    "ReduceLogSumExp": extremes.log_sum_exp,
    "Sign": _sign,
    "Softplus": curves.softplus,
    "ThresholdedRelu": _thresholded,
    "TopK": extremes.top_k,
}
