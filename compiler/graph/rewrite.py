"""Rebuilding a model's main function binding by binding: what all graph passes here stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import tvm
from tvm import relax

if TYPE_CHECKING:
    from tvm import tirx

# Called with the builder, the bound variable and its value (arguments already new); gives the value to bind.
Handler = Callable[[relax.BlockBuilder, relax.Var, relax.Expr], relax.Expr]
# TVM's number for "sums, then takes element-wise work into its tile": what FuseOps goes by.
OUT_FUSABLE = 4


def rewrite(mod: tvm.IRModule, handler: Handler) -> tvm.IRModule:
    """Return `mod` with each binding of `main` replaced by what `handler` gives for it.

    `main` must be straight-line dataflow, as front ends give for models of fixed shape; any other function is
    returned unchanged, since a pass that does not apply is no error.
    """
    func = mod["main"]
    if not is_straight_line(func):
        return mod
    builder = relax.BlockBuilder()
    known: dict[relax.Var, relax.Expr] = {}
    with builder.function("main", func.params, attrs=dict(func.attrs) if func.attrs else None):
        with builder.dataflow():
            for block in func.body.blocks:
                for binding in block.bindings:
                    value = handler(builder, binding.var, substitute(binding.value, known))
                    known[binding.var] = value if is_leaf(value) else builder.emit(value)
            result = builder.emit_output(substitute(func.body.body, known))
        builder.emit_func_output(result)
    out = builder.finalize()
    for name, other in mod.functions_items():
        if name.name_hint != "main":
            out[name] = other
    return clean(out)


def clean(mod: tvm.IRModule) -> tvm.IRModule:
    """Drop bindings that nothing reads, and copies."""
    passes = [relax.transform.CanonicalizeBindings(), relax.transform.DeadCodeElimination(["main"])]
    return tvm.transform.Sequential(passes)(mod)


def substitute(expr: relax.Expr, known: Mapping[relax.Var, relax.Expr]) -> relax.Expr:
    """Replace variables by what is known of them."""
    if isinstance(expr, relax.Var):
        return known.get(expr, expr)
    if isinstance(expr, relax.Call):
        args = [substitute(arg, known) for arg in expr.args]
        return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
    if isinstance(expr, relax.Tuple):
        return relax.Tuple([substitute(field, known) for field in expr.fields])
    if isinstance(expr, relax.TupleGetItem):
        whole = substitute(expr.tuple_value, known)
        return (
            whole.fields[expr.index]
            if isinstance(whole, relax.Tuple)
            else relax.TupleGetItem(whole, expr.index)
        )
    return expr


def add_named(builder: relax.BlockBuilder, func: tirx.PrimFunc, name: str, number: int) -> tvm.ir.GlobalVar:
    """Add the tensor program to the module by a name of its own: the first of a kind is number 0."""
    full = f"{name}{number}" if number else name
    return builder.add_func(func.with_attr("global_symbol", full), full)


def is_leaf(expr: relax.Expr) -> bool:
    """Whether an expression stands for itself and needs no binding."""
    return isinstance(expr, relax.Var | tvm.ir.GenericConst | relax.Tuple)


def op_name(expr: tvm.ir.Expr | None) -> str:
    """Return the operator's name of a call (`relax.nn.conv2d`), or an empty string."""
    if isinstance(expr, relax.Call) and isinstance(expr.op, tvm.ir.Op):
        name: str = expr.op.name
        return name
    return ""


def shape_of(expr: tvm.ir.Expr | None) -> tuple[int, ...] | None:
    """Fixed shape of a tensor expression; None for tuples, unknown and symbolic shapes."""
    ty = getattr(expr, "ty", None)
    shape = getattr(ty, "shape", None)
    if shape is None or not hasattr(shape, "values"):
        return None
    try:
        return tuple(int(dim) for dim in shape.values)
    except TypeError:
        return None


def readers(func: relax.Function) -> dict[relax.Var, list[relax.VarBinding | None]]:
    """Give the bindings that read each variable, one entry a read; None stands for the function's result."""
    found: dict[relax.Var, list[relax.VarBinding | None]] = {}
    if not isinstance(func.body, relax.SeqExpr):
        return found
    for block in func.body.blocks:
        for binding in block.bindings:
            for var in _variables(binding.value):
                found.setdefault(var, []).append(binding)
    for var in _variables(func.body.body):
        found.setdefault(var, []).append(None)
    return found


def is_float32(expr: relax.Expr) -> bool:
    """Whether a tensor expression is of float32."""
    return str(expr.ty.dtype) == "float32"


def _variables(expr: relax.Expr) -> list[relax.Var]:
    if isinstance(expr, relax.Var):
        return [expr]
    if isinstance(expr, relax.TupleGetItem):
        return _variables(expr.tuple_value)
    parts = expr.args if isinstance(expr, relax.Call) else getattr(expr, "fields", [])
    return [var for part in parts for var in _variables(part)]


def is_straight_line(func: relax.Function) -> bool:
    """Whether a function is bindings one after the other, without branches."""
    if not isinstance(func.body, relax.SeqExpr):
        return False
    bindings = [binding for block in func.body.blocks for binding in block.bindings]
    return all(
        isinstance(binding, relax.VarBinding) and not isinstance(binding.value, relax.If)
        for binding in bindings
    )
