"""Concatenations: those of concatenations made one, and the kernel of what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import relax, topi

from modeldyno.compiler.graph.rewrite import op_name, readers, rewrite
from modeldyno.compiler.loops.marks import CONCAT

if TYPE_CHECKING:
    import tvm


def flatten_concats(mod: tvm.IRModule) -> tvm.IRModule:
    """Make one concatenation of those whose parts are concatenations on the same axis, read nowhere else."""
    reads = readers(mod["main"])
    inner: dict[relax.Var, relax.Call] = {}

    def handle(builder: relax.BlockBuilder, var: relax.Var, value: relax.Expr) -> relax.Expr:
        if op_name(value) != "relax.concat" or not isinstance(value.args[0], relax.Tuple):
            return value
        axis = int(value.attrs.axis)
        parts: list[relax.Expr] = []
        for part in value.args[0].fields:
            known = inner.get(part)
            if known is None or int(known.attrs.axis) != axis:
                parts.append(part)
            else:
                parts.extend(known.args[0].fields)
        flat = relax.op.concat(parts, axis)
        if len(reads.get(var, [])) != 1:
            return flat
        bound = builder.emit(flat)
        inner[bound] = flat
        return bound

    return rewrite(mod, handle)


def concat_kernel(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    """Give a concatenation TVM's kernel, marked for what it is."""
    if not isinstance(call.args[0], relax.Tuple) or call.attrs.axis is None:
        return call
    axis = int(call.attrs.axis) % len(call.ty.shape)
    return builder.call_te(topi.concatenate, list(call.args[0].fields), axis, primfunc_attrs={CONCAT: axis})
