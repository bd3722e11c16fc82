"""An element-wise expression computed somewhere else: other indices, and another source for one tensor."""

from __future__ import annotations

from collections.abc import Mapping

from tvm import tirx
from tvm.ir.expr import TensorLoad
from tvm_ffi import structural_map


def rebuilt(
    expr: tirx.Expr, indices: Mapping[tirx.Var, tirx.Expr], replaced: tirx.Buffer, value: tirx.Expr
) -> tirx.Expr:
    """Give `expr` with its index variables replaced, and each read of the tensor `replaced` by `value`."""

    def load(node: TensorLoad) -> tirx.Expr:
        return value if node.source.same_as(replaced) else node

    return structural_map(expr, [(TensorLoad, load), (tirx.Var, lambda var: indices.get(var, var))])
