"""relax.nn.attention becomes a call of our kernel, on the tensors as they lie in memory.

Reshapes around it are looked through: a projection [batch, time, heads * depth] is read as it is, and the
result is written in the shape that is read next.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from modeldyno.compiler.graph.fold import Array, as_constant
from modeldyno.compiler.graph.rewrite import add_named, op_name, readers, rewrite, shape_of
from modeldyno.compiler.kernels.attention.kernel import attention
from modeldyno.compiler.kernels.attention.plan import LOWEST, Sizes
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    import tvm

_OPERATORS = ("relax.nn.attention", "relax.nn.attention_bias")


def lower_attention(mod: tvm.IRModule, machine: Machine) -> tvm.IRModule:
    """Return the module with each attention that the kernel can do as a call of it."""
    return rewrite(mod, _Lowering(machine, readers(mod["main"])).handle)


class _Lowering:
    """What each variable is bound to, and the kernels made so far."""

    def __init__(self, machine: Machine, found: dict[relax.Var, list[relax.VarBinding | None]]) -> None:
        self.machine, self.readers = machine, found
        self.of: dict[relax.Var, relax.Call] = {}
        self.kernels: dict[tuple[Sizes, float, tuple[tuple[int, ...], ...]], tvm.ir.GlobalVar] = {}

    def handle(self, builder: relax.BlockBuilder, var: relax.Var, value: relax.Expr) -> relax.Expr:
        """Give the value to bind."""
        name = op_name(value)
        if name not in (*_OPERATORS, "relax.reshape"):
            return value
        value = builder.normalize(value)
        found = None
        if name in _OPERATORS:
            found = self._call(builder, var, value)
        else:
            # An attention before it may have been given this very shape already.
            source = self._source(value.args[0])
            if shape_of(source) == shape_of(value):
                return source
        bound = builder.emit(value if found is None else found)
        if found is None:
            self.of[bound] = value
        return bound

    def _call(self, builder: relax.BlockBuilder, var: relax.Var, value: relax.Call) -> relax.Call | None:
        sizes = _sizes(value)
        if sizes is None:
            return None
        *operands, mask = [*value.args, None][:4]
        if str(value.attrs.causal_mask or "") not in ("", "None"):
            if mask is not None:
                return None
            corner = 0 if str(value.attrs.causal_mask) == "TopLeft" else sizes.keys - sizes.queries
            mask = as_constant(_causal(sizes, corner))
            sizes = replace(sizes, mask=(1, 1, sizes.queries, sizes.keys))
        inputs = [self._source(operand) for operand in operands]
        inputs += [] if mask is None else [self._source(mask)]
        shape = self._written_shape(var, shape_of(value) or ())
        shapes = [shape_of(each) or () for each in inputs] + [shape]
        scale = value.attrs.scale
        factor = 1 / math.sqrt(sizes.depth) if scale is None else float(scale)
        key = (sizes, factor, tuple(shapes))
        if key not in self.kernels:
            func = attention(sizes, factor, self.machine, shapes)
            self.kernels[key] = add_named(builder, func, "attention", len(self.kernels))
        return relax.call_tir(self.kernels[key], inputs, relax.TensorType(shape, "float32"))

    def _source(self, expr: relax.Expr) -> relax.Expr:
        while isinstance(expr, relax.Var) and op_name(self.of.get(expr)) == "relax.reshape":
            expr = self.of[expr].args[0]
        return expr

    def _written_shape(self, var: relax.Var, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape behind the reshapes that alone read a result."""
        while True:
            found = self.readers.get(var, [])
            if len(found) != 1 or found[0] is None or op_name(found[0].value) != "relax.reshape":
                return shape
            var = found[0].var
            shape = shape_of(found[0].value) or shape


def _sizes(call: relax.Call) -> Sizes | None:
    shapes = [shape_of(arg) for arg in call.args]
    if any(shape is None or len(shape) != 4 or 0 in shape for shape in shapes):
        return None
    if any(str(arg.ty.dtype) != "float32" for arg in call.args) or getattr(call.attrs, "window_size", None):
        return None
    query, key, value, *mask = (shape or () for shape in shapes)
    if (key[0], key[2]) != (query[0], query[2]) or value[:3] != key[:3] or key[3] != query[3]:
        return None
    shape = (mask[0][0], mask[0][1], mask[0][2], mask[0][3]) if mask else None
    sizes = Sizes(query[0], query[2], query[1], key[1], query[3], value[3], shape)
    return sizes if sizes.mask_fits() else None


def _causal(sizes: Sizes, corner: int) -> Array:
    rows, columns = np.arange(sizes.queries)[:, None], np.arange(sizes.keys)
    allowed = columns <= rows + corner
    return np.where(allowed, 0, LOWEST).astype("float32")[None, None]
