"""Converters of our own for ONNX operators that TVM's front end reads otherwise than ONNX Runtime.

They differ for NaN, infinities and what does not fit the result's type. An operator that can be written as
others is a rule (`onnx_rules`) instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import numpy as np

from compiler.frontends import onnx_identities as identities

Converter = Callable[[Any, Any, dict[str, Any], Any], Any]


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


def _classes(theirs: dict[str, Any]) -> dict[str, Any]:
    """Give what TVM asks for the version that it wants, which is ours whatever the version."""
    return {name: _own(theirs.get(name), make) for name, make in _CONVERTERS.items()}


def known_operators() -> frozenset[str]:
    """Names of the operators that TVM's front end or we have a converter for."""
    from tvm.relax.frontend.onnx import onnx_frontend

    return frozenset(onnx_frontend._get_convert_map()) | frozenset(_CONVERTERS)


def _own(theirs: Any, make: Callable[[Converter], Converter]) -> Any:
    class Own:
        @staticmethod
        def get_converter(opset: int) -> Converter:
            return make(theirs.get_converter(opset) if theirs else _unknown)

    return Own


def _unknown(*_args: Any) -> Any:
    raise NotImplementedError("an operator that TVM does not know, in a form that we don't")


def _pairwise(operator: str, combine: Callable[[Any, Any], Any]) -> Callable[[Converter], Converter]:
    """Max and Min two by two: TVM would stack all inputs, and begin with a finite number."""

    def convert(builder: Any, inputs: Any, _attributes: dict[str, Any], _params: Any) -> Any:
        from tvm import ir, relax

        def two(left: Any, right: Any) -> Any:
            if isinstance(left, ir.GenericConst) and isinstance(right, ir.GenericConst):
                found = combine(left.value.numpy(), right.value.numpy())
                return relax.const(found, str(found.dtype))
            return builder.normalize(getattr(relax.op, operator)(left, right))

        return reduce(two, list(inputs))

    return lambda _theirs: convert


def _place(kind: str) -> Callable[[Converter], Converter]:
    """ArgMax and ArgMin: with `select_last_index` TVM turns the axis around, and with it what comes first."""

    def make(theirs: Converter) -> Converter:
        def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
            from compiler.passes.extremes import place_of
            from compiler.passes.rewrite import shape_of

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


def _cast(theirs: Converter) -> Converter:
    """Cast of floats to int32 and int64: what does not fit becomes the least number, as on x86 processors."""

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
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
    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], _params: Any) -> Any:
        from tvm import relax

        data, dtype = inputs[0], str(inputs[0].ty.dtype)
        above = relax.op.greater(data, relax.const(float(attributes.get("alpha", 1.0)), dtype))
        return relax.op.where(builder.normalize(above), data, relax.const(0, dtype))

    return convert


def _sign(theirs: Converter) -> Converter:
    """Sign of what is no number is none."""

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
        from tvm import relax

        found = theirs(builder, inputs, attributes, params)
        if not str(inputs[0].ty.dtype).startswith("float"):
            return found
        none = builder.normalize(relax.op.isnan(inputs[0]))
        return relax.op.where(none, inputs[0], builder.normalize(found))

    return convert


def _log_sum_exp(theirs: Converter) -> Converter:
    """log(sum(exp(x - max))) + max, where the maximum is finite; an infinite one is the result itself.

    What is no number makes the sum none.
    """

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
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


def _clip(theirs: Converter) -> Converter:
    """Clip without bounds cuts off infinities, as the operator says."""

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
        from tvm import relax, tirx

        data = inputs[0]
        dtype = str(data.ty.dtype)
        bounded = any(each is not None for each in list(inputs)[1:]) or {"min", "max"} & set(attributes)
        if bounded or not dtype.startswith("float"):
            return theirs(builder, inputs, attributes, params)
        most = float(np.finfo(dtype).max)
        return relax.op.clip(data, tirx.FloatImm("float64", -most), tirx.FloatImm("float64", most))

    return convert


def _max_pool(theirs: Converter) -> Converter:
    """Max pooling over one axis, three, or all: ONNX Runtime begins with the least finite number there.

    Over two axes, or with dilation, it begins with what the window holds (or, where padding cuts a window at
    its left or right, with that number too, which nobody should rely on).
    """

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
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


def _celu(_theirs: Converter) -> Converter:
    """Celu as max(0, x) - a * max(0, 1 - exp(x / a)), which overflows nowhere.

    ONNX's definition scales by x / a back and forth.
    """

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], _params: Any) -> Any:
        from tvm import relax

        data, op, emit = inputs[0], relax.op, builder.normalize
        dtype, alpha = str(data.ty.dtype), float(attributes.get("alpha", 1.0))
        powers = emit(op.exp(emit(op.multiply(data, relax.const(1 / alpha, dtype)))))
        missing = emit(op.nn.relu(emit(op.subtract(relax.const(1, dtype), powers))))
        return op.subtract(emit(op.nn.relu(data)), emit(op.multiply(missing, relax.const(alpha, dtype))))

    return convert


def _hardmax(theirs: Converter) -> Converter:
    """Hardmax of a row that begins with no number is 0 everywhere: nothing equals its maximum."""

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
        from tvm import relax

        found = builder.normalize(theirs(builder, inputs, attributes, params))
        if "axis" not in attributes and len(inputs[0].ty.shape) != 2:
            return found  # the default axis depends on the version; TVM knows
        axis = int(attributes.get("axis", -1))
        highest = builder.normalize(relax.op.max(inputs[0], axis, True))
        none = builder.normalize(relax.op.isnan(highest))
        return relax.op.where(none, relax.const(0, str(found.ty.dtype)), found)

    return convert


def _top_k(theirs: Converter) -> Converter:
    """TopK of one place is the max or min and where it stands: nothing has to be sorted."""

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
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


def _quantize(theirs: Converter) -> Converter:
    """QuantizeLinear of what is no number is the least of the type."""

    def convert(builder: Any, inputs: Any, attributes: dict[str, Any], params: Any) -> Any:
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
    "ArgMax": _place("max"),
    "ArgMin": _place("min"),
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
    "GlobalMaxPool": _max_pool,
    "Hardmax": _hardmax,
    "Max": _pairwise("maximum", np.maximum),
    "MaxPool": _max_pool,
    "Min": _pairwise("minimum", np.minimum),
    "ReduceLogSumExp": _log_sum_exp,
    "Sign": _sign,
    "ThresholdedRelu": _thresholded,
    "TopK": _top_k,
}
