"""Long element-wise expressions as calls of a function while their loops are scheduled.

TVM's schedule steps put what they know of a name in its place wherever they prove something, and so unfold a
chain of names to its full size. Of a call they look at the arguments alone: what a formula reads, and where.
"""

from __future__ import annotations

from collections.abc import Callable

from tvm import tirx
from tvm.ir import Call, PrimType
from tvm.ir.expr import TensorLoad
from tvm_ffi import structural_map, structural_walk

from modeldyno.compiler.subexpressions.values import ASKED, has_names

_PREFIX = "dyno.formula."
_EXTERN = "tirx.call_pure_extern"


class Formulas:
    """The formulas of a function's stages by the names under which they are called."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[tirx.Var], tirx.Expr]] = {}

    def outlined(self, expr: tirx.Expr, is_safe: Callable[[tirx.Expr], bool]) -> tirx.Expr:
        """Give a call in place of an expression that has names; its arguments are what the expression reads.

        An expression stays where it reads something in a branch of a choice alone that is not safe to read.
        """
        if not has_names(expr) or not all(map(is_safe, _read_in_branches(expr))):
            return expr
        params: list[tirx.Var] = []
        args: list[tirx.Expr] = []

        def load(node: TensorLoad) -> tirx.Expr:
            args.append(node)
            params.append(tirx.Var("read", PrimType(str(node.ty.dtype))))
            return params[-1]

        body = structural_map(expr, (TensorLoad, load), order="pre")
        axes = [var for var in _free_variables(body) if var not in params]
        name = f"{_PREFIX}{len(self._known)}"
        self._known[name] = [*params, *axes], body
        return tirx.call_pure_extern(str(expr.ty.dtype), name, *args, *axes)

    def written_out(self, call: Call) -> tirx.Expr:
        """Give the expression that a call stands for, its arguments under names."""
        params, body = self._known[str(call.args[0].value)]
        for param, arg in zip(reversed(params), reversed(list(call.args[1:])), strict=True):
            body = tirx.Let(param, arg, body)
        return body


def is_formula(node: tirx.Expr) -> bool:
    """Whether an expression is a call of a formula."""
    is_extern = isinstance(node, Call) and getattr(node.op, "name", "") == _EXTERN
    return is_extern and str(node.args[0].value).startswith(_PREFIX)


def has_formulas(node: tirx.Expr | tirx.Stmt) -> bool:
    """Whether an expression or statement calls a formula."""
    found: list[Call] = []

    def note(call: Call) -> None:
        if is_formula(call):
            found.append(call)

    structural_walk(node, (Call, note))
    return bool(found)


def branches(node: tirx.Expr) -> tuple[tirx.Expr, list[tirx.Expr]] | None:
    """Give what a choice goes by, and its branches; None of what is no choice."""
    if isinstance(node, tirx.Select):
        return node.condition, [node.true_value, node.false_value]
    if isinstance(node, Call) and getattr(node.op, "name", "") == ASKED:
        return node.args[0], list(node.args[1:])
    return None


def _read_in_branches(expr: tirx.Expr) -> list[TensorLoad]:
    found: list[TensorLoad] = []

    def note(node: tirx.Expr) -> None:
        known = branches(node)
        for branch in known[1] if known else []:
            structural_walk(branch, (TensorLoad, found.append))

    structural_walk(expr, ((Call, tirx.Select), note))
    return found


def _free_variables(expr: tirx.Expr) -> list[tirx.Var]:
    used: dict[tirx.Var, None] = {}
    bound: list[tirx.Var] = []

    def note(let: tirx.Let) -> None:
        bound.append(let.var)

    def use(var: tirx.Var) -> None:
        used[var] = None

    structural_walk(expr, [(tirx.Let, note), (tirx.Var, use)])
    return [var for var in used if var not in bound]
