"""Local response normalization, which the ONNX front end gives as a 3-D pooling, by a 1x1 convolution.

    x / (bias + alpha * mean of x² over `size` channels) ** beta      (Krizhevsky et al., NeurIPS 2012)

The mean over neighbouring channels is a product with a band matrix: more sums than are needed, but with
channels last they run at the speed of a convolution, and the power and the division run in its tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from modeldyno.compiler.graph.fold import Array, as_constant, scalar
from modeldyno.compiler.graph.rewrite import op_name, rewrite, shape_of

if TYPE_CHECKING:
    import tvm

# Of the divisor's exponent: the power by square roots, which is exact and runs in vectors.
_THREE_QUARTERS = 0.75


@dataclass(frozen=True)
class _Lrn:
    """A normalization of NCHW `data`: the mean is over `size` channels from `front` before each one."""

    data: relax.Expr
    size: int
    front: int
    alpha: float
    beta: float
    bias: float

    def band(self) -> Array:
        """Weights [C, C, 1, 1] that give alpha times the mean over the window."""
        channels = (shape_of(self.data) or (0, 0))[1]
        row, column = np.ogrid[:channels, :channels]
        inside = (column >= row - self.front) & (column < row - self.front + self.size)
        return (inside * (self.alpha / self.size)).astype(np.float32)[:, :, None, None]


def rewrite_lrn(mod: tvm.IRModule) -> tvm.IRModule:
    """Return the module with each float32 local response normalization of NCHW data as a convolution."""
    values: dict[relax.Var, relax.Call] = {}

    def handle(builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        if not op_name(value):
            return value
        found = _matched(value, values)
        bound = builder.emit(value if found is None else _emit(builder, found))
        values[bound] = value
        return bound

    return rewrite(mod, handle)


def _matched(value: relax.Expr, values: dict[relax.Var, relax.Call]) -> _Lrn | None:
    """Match the chain from the division backwards, over what each variable is bound to."""

    def step(expr: relax.Expr, name: str) -> relax.Call | None:
        call = values.get(expr) if isinstance(expr, relax.Var) else None
        return call if op_name(call) == f"relax.{name}" else None

    if op_name(value) != "relax.divide":
        return None
    chain, inner = [], value.args[1]
    for name in ("power", "add", "multiply", "squeeze", "nn.avg_pool3d", "expand_dims", "multiply"):
        call = step(inner, name)
        if call is None:
            return None
        chain.append(call)
        inner = call.args[0]
    power, shifted, scaled, squeezed, pool, expanded, square = chain
    data = value.args[0]
    beta, bias, alpha = (scalar(call.args[1]) for call in (power, shifted, scaled))
    front = _window_front(pool)
    if beta is None or bias is None or alpha is None or front is None or not _keeps_channels(squeezed, data):
        return None
    if not all(arg.same_as(data) for arg in square.args) or [int(axis) for axis in expanded.attrs.axis] != [
        1
    ]:
        return None
    # The power goes by roots or a logarithm: its argument must be positive whatever the data.
    if bias <= 0 or alpha < 0 or str(data.ty.dtype) != "float32":
        return None
    return _Lrn(data, int(pool.attrs.pool_size[0]), front, alpha, beta, bias)


def _window_front(pool: relax.Call) -> int | None:
    """Channels before each one that a pooling over (channels, height, width) takes the mean of."""
    attrs = pool.attrs
    size, *image = (int(number) for number in attrs.pool_size)
    front, *sides, back, _bottom, _right = (int(number) for number in attrs.padding)
    plain = (
        image == [1, 1]
        and not any((*sides, _bottom, _right))
        and front + back == size - 1
        and all(int(number) == 1 for number in (*attrs.strides, *attrs.dilation))
        and (bool(attrs.count_include_pad) or size == 1)
        and str(attrs.layout) == "NCDHW"
    )
    return front if plain else None


def _keeps_channels(squeezed: relax.Call, data: relax.Expr) -> bool:
    shape = shape_of(data)
    axes = squeezed.attrs.axis
    return shape is not None and len(shape) == 4 and axes is not None and [int(axis) for axis in axes] == [1]


def _emit(builder: relax.BlockBuilder, lrn: _Lrn) -> relax.Expr:
    square = builder.emit(relax.op.multiply(lrn.data, lrn.data))
    mean = builder.emit(relax.op.nn.conv2d(square, as_constant(lrn.band())))
    base = builder.emit(relax.op.add(mean, relax.const(lrn.bias, "float32")))
    return relax.op.divide(lrn.data, builder.emit(_power(builder, base, lrn.beta)))


def _power(builder: relax.BlockBuilder, base: relax.Expr, exponent: float) -> relax.Expr:
    """Give base ** exponent of a positive base."""
    if exponent == _THREE_QUARTERS:
        root = builder.emit(relax.op.sqrt(base))
        return relax.op.multiply(root, builder.emit(relax.op.sqrt(root)))
    if exponent in (0.5, 1.0):
        return relax.op.sqrt(base) if exponent == 0.5 else base
    logarithm = builder.emit(relax.op.log(base))
    scaled = builder.emit(relax.op.multiply(logarithm, relax.const(exponent, "float32")))
    return relax.op.exp(scaled)
