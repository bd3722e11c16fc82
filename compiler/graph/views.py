"""Reshapes out of the way: element-wise work is moved ahead of one, to what made its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import relax

from modeldyno.compiler.graph.layout import UNARY
from modeldyno.compiler.graph.rewrite import op_name, rewrite, shape_of

if TYPE_CHECKING:
    import tvm


def sink_reshapes(mod: tvm.IRModule) -> tvm.IRModule:
    """Turn f(reshape(x)) into reshape(f(x)) and reshape(reshape(x)) into one reshape, or none.

    Exporters flatten the input of each matrix product and restore its shape behind it: a GELU between the two
    would be a walk over memory of its own instead of a part of the product's tail.
    """
    views: dict[relax.Var, relax.Expr] = {}  # what each reshape's result is a view of

    def handle(builder: relax.BlockBuilder, var: relax.Var, value: relax.Expr) -> relax.Expr:
        name, shape = op_name(value), shape_of(var)
        if shape is None or name not in {"relax.reshape", *UNARY}:
            return value
        source = views.get(value.args[0])
        if name == "relax.reshape":
            return _view(builder, views, value.args[0] if source is None else source, shape)
        if source is None:
            return value
        made = builder.emit(relax.Call(value.op, [source, *value.args[1:]], value.attrs))
        return _view(builder, views, made, shape)

    return rewrite(mod, handle)


def _view(
    builder: relax.BlockBuilder,
    views: dict[relax.Var, relax.Expr],
    source: relax.Expr,
    shape: tuple[int, ...],
) -> relax.Expr:
    """Give `source` in another shape, and remember that it is only that."""
    if shape_of(source) == shape:
        return source
    result = builder.emit(relax.op.reshape(source, shape))
    views[result] = source
    return result
