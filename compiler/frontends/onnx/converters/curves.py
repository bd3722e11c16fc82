"""Mish and Softplus to all digits where they are small: TVM takes the logarithm of 1 + exp(x), 1 there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modeldyno.compiler.frontends.onnx.converters.converter import Converter, Params

if TYPE_CHECKING:
    from tvm import relax
    from tvm.relax.frontend.onnx.onnx_frontend import onnx_input

_ALL = 20.0  # tanh(log(1 + exp(x))) is 1 from here on, and exp(x) squared is finite up to 44


def mish(theirs: Converter) -> Converter:
    """x * tanh(log(1 + e)) with e = exp(x), as x * n / (n + 2) with n = e * (e + 2)."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import relax

        data, op, emit = inputs[0], relax.op, builder.normalize
        if str(data.ty.dtype) != "float32":
            return theirs(builder, inputs, attributes, params)
        two = relax.const(2, "float32")
        power = builder.emit(op.exp(emit(op.minimum(relax.const(_ALL, "float32"), data))))
        part = builder.emit(op.multiply(power, emit(op.add(power, two))))
        return op.multiply(data, emit(op.divide(part, emit(op.add(part, two)))))

    return convert


def softplus(theirs: Converter) -> Converter:
    """Softplus as the operator that torch's is read as too."""

    def convert(
        builder: relax.BlockBuilder, inputs: onnx_input, attributes: dict[str, Any], params: Params
    ) -> relax.Expr:
        from tvm import relax

        if str(inputs[0].ty.dtype) != "float32":
            return theirs(builder, inputs, attributes, params)
        return relax.op.nn.softplus(inputs[0], beta=1.0, threshold=_ALL)

    return convert
