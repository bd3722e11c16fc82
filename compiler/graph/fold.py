"""Folding: what can be computed at compile time is, in numpy, and BatchNorm goes into what stands before it.

TVM's own FoldConstant compiles a kernel for every constant it folds (20 s on ResNet-50); numpy takes
milliseconds for the few operators that stand between a weight and its use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from modeldyno.compiler.graph.rewrite import op_name, readers, rewrite, shape_of

Array = npt.NDArray[Any]
# A folded result larger than this is left to run time: a broadcast of a scalar must not fill the artifact.
GROWTH_LIMIT_BYTES = 1 << 20

_BINARY: dict[str, Callable[..., Any]] = {
    "relax.add": np.add,
    "relax.subtract": np.subtract,
    "relax.multiply": np.multiply,
    "relax.divide": np.divide,
    "relax.maximum": np.maximum,
    "relax.minimum": np.minimum,
    "relax.power": np.power,
    "relax.equal": np.equal,
    "relax.less": np.less,
    "relax.less_equal": np.less_equal,
    "relax.greater": np.greater,
    "relax.greater_equal": np.greater_equal,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "relax.sqrt": np.sqrt,
    "relax.negative": np.negative,
    "relax.exp": np.exp,
    "relax.abs": np.abs,
    "relax.cos": np.cos,
    "relax.sin": np.sin,
    "relax.rsqrt": lambda x: (1 / np.sqrt(x)).astype(x.dtype),
}


def fold(mod: tvm.IRModule) -> tvm.IRModule:
    """Compute calls whose arguments are all constant."""
    return rewrite(mod, lambda _builder, _var, value: _folded(value))


def fold_batch_norm(mod: tvm.IRModule) -> tvm.IRModule:
    """Turn each BatchNorm with constant statistics into a multiply and an add, folded into a convolution.

    y = (x - mean) / sqrt(var + eps) * gamma + beta = x * scale + shift
    """
    reads = readers(mod["main"])
    # Convolutions that one operator reads, by the variable that they are bound to.
    sole: dict[relax.Var, relax.Call] = {}

    def handle(builder: relax.BlockBuilder, var: relax.Var, value: relax.Expr) -> relax.Expr:
        name = op_name(value)
        if name == "relax.nn.batch_norm":
            return _unfold_batch_norm(builder, value, sole)
        if name != "relax.nn.conv2d" or len(reads.get(var, [])) != 1:
            return value
        bound = builder.emit(value)
        sole[bound] = value
        return bound

    return rewrite(mod, handle)


def constant(expr: relax.Expr) -> Array | None:
    """Numpy array of a constant expression, or None."""
    if isinstance(expr, tvm.ir.GenericConst):
        array: Array = expr.value.numpy()
        return array
    return None


def scalar(expr: relax.Expr) -> float | None:
    """Give the number of a constant of one element, or None."""
    array = constant(expr)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def as_constant(array: Array) -> tvm.ir.GenericConst:
    """Give a numpy array as a constant of the same type (relax.const makes 32 bits of 64)."""
    # Not ascontiguousarray, which gives a number without axes one axis.
    return relax.const(np.asarray(array, order="C"), array.dtype.name)


def _folded(value: relax.Expr) -> relax.Expr:
    name = op_name(value)
    if not name or not value.args:
        return value
    first = constant(value.args[0])
    if first is None:
        return value
    result = _evaluate(name, value, first)
    if result is None or result.nbytes > max(first.nbytes * 2, GROWTH_LIMIT_BYTES):
        return value
    if result.dtype.name != _out_dtype(value):  # numpy divides integers into floats; the operator does not
        return value
    return as_constant(result)


def _evaluate(name: str, call: relax.Call, first: Array) -> Array | None:
    if name in _UNARY:
        return np.asarray(_UNARY[name](first))
    if name in _BINARY:
        second = constant(call.args[1])
        return None if second is None else np.asarray(_BINARY[name](first, second))
    return _reshaped(name, call, first)


def _reshaped(name: str, call: relax.Call, first: Array) -> Array | None:
    shape = _out_shape(call)
    if name in ("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten"):
        return None if shape is None else first.reshape(shape)
    if name == "relax.broadcast_to":
        return None if shape is None else np.broadcast_to(first, shape)
    if name == "relax.permute_dims":
        axes = call.attrs.axes
        return first.transpose(None if axes is None else [int(axis) for axis in axes])
    if name == "relax.astype":
        return first.astype(str(call.attrs.dtype))
    return None


def _out_shape(call: relax.Call) -> tuple[int, ...] | None:
    return shape_of(relax.BlockBuilder().normalize(call))


def _out_dtype(call: relax.Call) -> str:
    return str(relax.BlockBuilder().normalize(call).ty.dtype)


def _unfold_batch_norm(
    builder: relax.BlockBuilder, call: relax.Call, sole: dict[relax.Var, relax.Call]
) -> relax.Expr:
    gamma, beta, mean, variance = (constant(arg) for arg in call.args[1:5])
    if gamma is None or beta is None or mean is None or variance is None or call.attrs.training:
        return call
    data = call.args[0]
    scale = gamma / np.sqrt(variance.astype(np.float64) + float(call.attrs.epsilon))
    shift = (beta - mean * scale).astype(gamma.dtype)
    axes = [1] * len(shape_of(data) or (0, 0))
    axes[int(call.attrs.axis)] = -1
    scaled = _scaled_conv(sole.get(data), scale)
    if scaled is None:
        scaled = relax.op.multiply(data, as_constant(scale.astype(gamma.dtype).reshape(axes)))
    out = builder.emit(relax.op.add(builder.emit(scaled), as_constant(shift.reshape(axes))))
    return relax.Tuple([out, call.args[3], call.args[4]])


def _scaled_conv(conv: relax.Call | None, scale: Array) -> relax.Call | None:
    """Give `conv` with its output channels scaled; None when it is no convolution with constant weights."""
    if conv is None:
        return None
    weight = constant(conv.args[1])
    if weight is None or str(conv.attrs.kernel_layout) != "OIHW":
        return None
    scaled = (weight * scale[:, None, None, None]).astype(weight.dtype)
    return relax.Call(conv.op, [conv.args[0], as_constant(scaled)], conv.attrs)
