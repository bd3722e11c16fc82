"""Attention that exporters wrote as single operators becomes one operator again.

    softmax(Q K^T * scale + mask) V     one relax.nn.attention over [batch, time, heads, depth]

The scale may stand at Q, at K, at both or at the scores; masks are what is added to scaled scores. Matched
from the second product backwards. What the operators before it did to bring the heads to the front (their
transposes) is undone, so that the kernel reads the projections as they are. Where the scores or the powers
are read by anything else, all stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from modeldyno.compiler.graph.fold import constant, scalar
from modeldyno.compiler.graph.rewrite import is_float32, op_name, readers, rewrite, shape_of

if TYPE_CHECKING:
    import tvm


def fuse_attention(mod: tvm.IRModule) -> tvm.IRModule:
    """Return the module with each decomposed attention as one relax.nn.attention."""
    return rewrite(mod, _Matcher(readers(mod["main"])).handle)


_RANK = 4  # of attention over [batch, time, heads, depth]


@dataclass(frozen=True)
class _Operand:
    """A product's operand: `source` with its axes in the order `axes`, times `scale`."""

    source: relax.Expr
    axes: tuple[int, ...]
    scale: float


class _Matcher:
    """What each variable is bound to, while one function is rewritten."""

    def __init__(self, found: dict[relax.Var, list[relax.VarBinding | None]]) -> None:
        self.readers = found
        self.of: dict[relax.Var, relax.Call] = {}
        self.uses: dict[relax.Var, int] = {}

    def handle(self, builder: relax.BlockBuilder, var: relax.Var, value: relax.Expr) -> relax.Expr:
        """Give the value to bind: attention where one ends here."""
        if not isinstance(value, relax.Call):
            return value
        value = builder.normalize(value)
        found = None
        if op_name(value) == "relax.matmul":
            found = self._attention(builder, value)
        elif op_name(value) == "relax.permute_dims":
            found = self._undone(value)
        bound = found if isinstance(found, relax.Var) else builder.emit(value if found is None else found)
        if found is None:
            self.uses[bound] = len(self.readers.get(var, []))
            self.of[bound] = value
        elif isinstance(found, relax.Call):
            self.of[bound] = found
        return bound

    def _attention(self, builder: relax.BlockBuilder, value: relax.Call) -> relax.Expr | None:
        found = self._products(value)
        if found is None:
            return None
        masks, scale, product = found
        arguments = (*product.args, value.args[1])
        shapes = [shape_of(arg) or () for arg in arguments]
        query, key, result = (self._operand(arg) for arg in arguments)
        if any(shape[:-2] != shapes[0][:-2] for shape in shapes) or result.scale != 1:
            return None
        mask = _joined(builder, masks, shape_of(value.args[0]) or ())
        if masks and mask is None:
            return None
        whole = len(shapes[0]) == _RANK
        straight, turned = ((0, 2, 1, 3), (0, 3, 1, 2)) if whole else ((0, 1, 2), (0, 2, 1))
        fused = builder.emit(
            relax.op.nn.attention(
                _placed(builder, query, straight),
                _placed(builder, key, turned),
                _placed(builder, result, straight),
                bias=None if _is_zero(mask) else mask,
                scale=scale * query.scale * key.scale,
            )
        )
        return self._as_product(fused, value)

    def _products(self, value: relax.Call) -> tuple[list[relax.Expr], float, relax.Call] | None:
        """Match both products: the masks, the scores' scale and the first product."""
        softmax = self._sole(value.args[0], "relax.nn.softmax")
        rank = len(shape_of(softmax) or ())
        if softmax is None or rank not in (_RANK - 1, _RANK) or int(softmax.attrs.axis) not in (-1, rank - 1):
            return None
        masks, scaled = self._masks(softmax.args[0])
        scores, scale = self._scaled(scaled)
        product = self._sole(scores, "relax.matmul")
        if product is None or not is_float32(value):
            return None
        shapes = [shape_of(arg) for arg in (*product.args, value.args[1])]
        ranked = all(shape is not None and len(shape) == rank for shape in shapes)
        return (masks, scale, product) if ranked else None

    def _as_product(self, fused: relax.Var, value: relax.Expr) -> relax.Expr:
        """What stood there before: heads at the front."""
        shape = shape_of(value) or ()
        if len(shape) == 3:
            return relax.op.reshape(fused, shape)
        return relax.op.permute_dims(fused, [0, 2, 1, 3])

    def _masks(self, expr: relax.Expr) -> tuple[list[relax.Expr], relax.Expr]:
        """Take off what is added to the scores: the masks, and what they are added to."""
        masks: list[relax.Expr] = []
        shape = shape_of(expr)
        while (call := self._sole(expr, "relax.add")) is not None:
            left, right = call.args
            whole = [side for side in (left, right) if shape_of(side) == shape]
            # Scores come from a product; a mask of their very shape does not.
            scores = next((side for side in whole if self._leads_to_product(side)), None)
            if scores is None:
                break
            masks.append(right if scores is left else left)
            expr = scores
        return masks, expr

    def _leads_to_product(self, expr: relax.Expr) -> bool:
        call: relax.Call | None = self.of.get(expr)
        while call is not None and op_name(call) in ("relax.add", "relax.multiply", "relax.divide"):
            step = next((arg for arg in call.args if shape_of(arg) == shape_of(expr)), None)
            call = self.of.get(step) if step is not None else None
        return op_name(call) == "relax.matmul"

    def _scaled(self, expr: relax.Expr, *, sole: bool = True) -> tuple[relax.Expr, float]:
        """Take off multiplications by, and divisions by, single numbers."""
        scale = 1.0
        while True:
            call: relax.Call | None = self.of.get(expr) if isinstance(expr, relax.Var) else None
            if sole and isinstance(expr, relax.Var) and self.uses.get(expr) != 1:
                return expr, scale
            name = op_name(call)
            if call is None or name not in ("relax.multiply", "relax.divide"):
                return expr, scale
            data, factor = call.args
            if name == "relax.multiply" and scalar(data) is not None:
                data, factor = factor, data
            value = scalar(factor)
            if value is None or shape_of(data) != shape_of(expr) or not math.isfinite(value) or value == 0:
                return expr, scale
            scale = scale * value if name == "relax.multiply" else scale / value
            expr = data

    def _operand(self, expr: relax.Expr) -> _Operand:
        axes, scale = tuple(range(len(shape_of(expr) or ()))), 1.0
        while True:
            expr, factor = self._scaled(expr, sole=False)
            scale *= factor
            call: relax.Call | None = self.of.get(expr) if isinstance(expr, relax.Var) else None
            if call is None or op_name(call) != "relax.permute_dims":
                return _Operand(expr, axes, scale)
            before = order(call)
            axes = tuple(before[axis] for axis in axes)
            expr = call.args[0]

    def _undone(self, value: relax.Call) -> relax.Var | None:
        """Give x for a transpose that undoes the one before it."""
        before: relax.Call | None = self.of.get(value.args[0])
        if before is None or op_name(before) != "relax.permute_dims":
            return None
        first, second = order(before), order(value)
        source = before.args[0]
        same = tuple(first[axis] for axis in second) == tuple(range(len(first)))
        return source if same and isinstance(source, relax.Var) else None

    def _sole(self, expr: relax.Expr, name: str) -> relax.Call | None:
        """Give the call of an operator whose result nothing else reads."""
        call: relax.Call | None = self.of.get(expr) if isinstance(expr, relax.Var) else None
        return call if op_name(call) == name and self.uses.get(expr) == 1 else None


def _placed(builder: relax.BlockBuilder, operand: _Operand, order: Sequence[int]) -> relax.Expr:
    """Bring an operand's axes to [batch, time, heads, depth]."""
    axes = [operand.axes[axis] for axis in order]
    placed = operand.source
    if axes != sorted(axes):
        placed = builder.emit(relax.op.permute_dims(placed, axes))
    shape = shape_of(placed) or ()
    if len(shape) == 3:
        placed = builder.emit(relax.op.reshape(placed, (shape[0], shape[1], 1, shape[2])))
    return placed


def _joined(
    builder: relax.BlockBuilder, masks: list[relax.Expr], scores: tuple[int, ...]
) -> relax.Expr | None:
    """Sum of the masks over the scores' axes [batch, heads, queries, keys]; None where one does not fit."""
    total = None
    for mask in masks:
        shape = shape_of(mask)
        if shape is None or len(shape) > len(scores) or not is_float32(mask):
            return None
        shape = (1,) * (len(scores) - len(shape)) + shape
        if shape[-1] != scores[-1]:
            return None
        if len(shape) == 3:
            shape = (shape[0], 1, *shape[1:])
        placed = mask if shape == shape_of(mask) else builder.emit(relax.op.reshape(mask, shape))
        total = placed if total is None else builder.emit(relax.op.add(total, placed))
    return total


def _is_zero(mask: relax.Expr | None) -> bool:
    array = constant(mask) if mask is not None else None
    return array is not None and not np.any(array)


def order(call: relax.Call) -> tuple[int, ...]:
    """Axes of a permute_dims call: which axis of its input each axis of its result is."""
    rank = len(shape_of(call) or ())
    if call.attrs.axes is None:
        return tuple(range(rank))[::-1]
    return tuple(int(axis) % rank for axis in call.attrs.axes)
