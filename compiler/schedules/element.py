"""An element-wise expression computed somewhere else: other indices, and another source for one tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import Call

_BINARY = (
    *(tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Mod, tirx.FloorDiv, tirx.FloorMod, tirx.Min, tirx.Max),
    *(tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE, tirx.And, tirx.Or),
    *(tirx.LShift, tirx.RShift, tirx.BitwiseAnd, tirx.BitwiseOr, tirx.BitwiseXor),
)


class UnknownExpressionError(Exception):
    """An expression holds a node that can't be rebuilt."""


def can_rebuild(expr: Any) -> bool:
    """Whether all nodes of an expression are known here."""
    try:
        rebuilt(expr, {}, None, None)
    except UnknownExpressionError:
        return False
    return True


def rebuilt(expr: Any, indices: dict[Any, Any], replaced: Any, value: Any) -> Any:
    """Give `expr` with its index variables replaced, and each read of the tensor `replaced` by `value`.

    Raises:
        UnknownExpressionError: a kind of node that is not known here.
    """

    def visit(node: Any) -> Any:
        if isinstance(node, tirx.Var):
            return next((new for old, new in indices.items() if old.same_as(node)), node)
        if isinstance(node, tvm.ir.TensorLoad):
            return value if replaced is not None and node.source.same_as(replaced) else _load(node, visit)
        return _operation(node, visit)

    return visit(expr)


def _load(node: Any, visit: Callable[[Any], Any]) -> Any:
    return tirx.BufferLoad(node.source, [visit(index) for index in node.indices])


def _operation(node: Any, visit: Callable[[Any], Any]) -> Any:
    found: Any
    if isinstance(node, tirx.IntImm | tirx.FloatImm):
        found = node
    elif isinstance(node, _BINARY):
        found = type(node)(visit(node.a), visit(node.b))
    elif isinstance(node, tirx.Cast):
        found = tirx.Cast(node.ty.dtype, visit(node.value))
    elif isinstance(node, tirx.Not):
        found = tirx.Not(visit(node.a))
    elif isinstance(node, tirx.Select):
        found = tirx.Select(visit(node.condition), visit(node.true_value), visit(node.false_value))
    elif isinstance(node, Call):
        found = Call(node.op, [visit(arg) for arg in node.args], node.attrs, node.ty_args, ret_ty=node.ty)
    else:
        raise UnknownExpressionError(type(node).__name__)
    return found
