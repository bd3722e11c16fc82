"""Changes of scheduled functions that no schedule step makes: new bodies for marked loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import tvm
from tvm import s_tir, tirx

Statement: TypeAlias = tirx.Stmt
# From a marked loop and its mark's value to the loop's new body.
Handler = Callable[[tirx.For, list[int]], Statement]


def rewrite_loops(func: tirx.PrimFunc, handlers: Mapping[str, Handler]) -> tirx.PrimFunc:
    """Give each loop that carries one of these marks a new body, from the inside out, and take the mark off.

    Where a loop carries several, their handlers follow one another in the order of `handlers`.
    """
    return tirx.PrimFunc(func.params, rewrite(func.body, handlers), func.ret_type, func.attrs)


def rewrite(node: Statement, handlers: Mapping[str, Handler]) -> Statement:
    """Do the same in one statement."""
    if isinstance(node, tirx.SeqStmt):
        return tirx.SeqStmt([rewrite(each, handlers) for each in node.seq])
    if isinstance(node, tirx.IfThenElse):
        other = None if node.else_case is None else rewrite(node.else_case, handlers)
        return tirx.IfThenElse(node.condition, rewrite(node.then_case, handlers), other)
    if isinstance(node, s_tir.SBlockRealize):
        block = with_body(node.block, rewrite(node.block.body, handlers))
        return s_tir.SBlockRealize(node.iter_values, node.predicate, block)
    if not isinstance(node, tirx.For):
        return node
    marks = {str(key): value for key, value in node.annotations.items()}
    loop = loop_with(node, rewrite(node.body, handlers), marks)
    for mark, handler in handlers.items():
        if mark in marks:
            value = [int(each) for each in marks.pop(mark)]
            loop = loop_with(node, handler(loop, value), marks)
    return loop


def own_variables(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """Give copies of a loop variables of their own."""
    return s_tir.transform.ConvertSSA()(tvm.IRModule({"main": func}))["main"]


def with_body(block: s_tir.SBlock, body: Statement) -> s_tir.SBlock:
    """Give a block with another body."""
    return s_tir.SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        body,
        block.init,
        block.alloc_buffers,
        block.match_buffers,
        block.annotations,
    )


def loop_with(loop: tirx.For, body: Statement, marks: Mapping[str, Any] | None = None) -> tirx.For:
    """Give a loop with another body, and with other marks where they are given."""
    return tirx.For(
        loop.loop_var,
        loop.min,
        loop.extent,
        loop.kind,
        body,
        loop.thread_binding,
        loop.annotations if marks is None else marks,
        loop.step,
    )


def sequence(statements: Sequence[Statement]) -> Statement:
    """All statements, one after the other."""
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(list(statements))


def at_start(values: Iterable[tirx.Expr], loops: list[tirx.Var]) -> list[tirx.Expr]:
    """Give expressions with all of these loop variables at zero."""
    return replaced(values, {var: tirx.const(0, var.ty.dtype) for var in loops})


def replaced(values: Iterable[tirx.Expr], known: Mapping[tirx.Var, tirx.Expr]) -> list[tirx.Expr]:
    """Give expressions with something else for each of these variables."""
    analyzer = tvm.sym.Analyzer()
    for var, other in known.items():
        analyzer.bind(var, other)
    return [analyzer.simplify(value) for value in values]


def inner_loops(node: Statement) -> list[tirx.Var]:
    """Variables of the loops under a statement, outside of blocks."""
    below = [var for each in _children(node) for var in inner_loops(each)]
    return [node.loop_var, *below] if isinstance(node, tirx.For) else below


def realizes(node: Statement) -> list[s_tir.SBlockRealize]:
    """Blocks under a statement, in order."""
    if isinstance(node, s_tir.SBlockRealize):
        return [node]
    return [found for each in _children(node) for found in realizes(each)]


def _children(node: Statement) -> list[Statement]:
    if isinstance(node, tirx.For):
        return [node.body]
    if isinstance(node, tirx.IfThenElse):
        return [node.then_case, *([] if node.else_case is None else [node.else_case])]
    return list(node.seq) if isinstance(node, tirx.SeqStmt) else []
