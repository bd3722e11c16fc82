"""TVM's lowering of tensor programs, with register tiles kept on the stack.

TVM puts a local buffer of 1 KiB or more on a heap of its own: a call to allocate, one to free, and sums that
go through memory, for every tile. A tile of 28 sums of 16 lanes is 1.75 KiB.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.pipeline import default_s_tir_pipeline

from modeldyno.compiler.loops.loops import loop_with

PIPELINE = "dyno"  # the name that relax.build knows it by
STACK_BYTES = 16 << 10  # of one buffer; threads have stacks of megabytes
MOST_FUSED = 32  # operators of one kernel
_KEEP = "disable_lower_builtin"  # what TVM calls it


def register() -> str:
    """Make the pipeline known to TVM; give its name."""
    tirx.register_tir_pipeline(PIPELINE, _pipeline)
    return PIPELINE


def _pipeline() -> tuple[Any, Any, Any]:
    lower, host, device = default_s_tir_pipeline()

    @tvm.transform.module_pass(opt_level=0, name="dyno_lower")
    def lowered(mod: Any, _context: Any) -> Any:
        with _without_hoisting():
            return keep_on_stack(lower(mod))

    return lowered, host, device


def with_short_kernels() -> Any:
    """A context in which FuseOps makes one kernel of MOST_FUSED operators at most.

    LLVM's time for a kernel grows faster than its length, above all where a tile writes it out dozens of
    times; of so many operators, one more trip through memory is a small part.
    """
    return _context({"relax.FuseOps.max_depth": MOST_FUSED})


def _without_hoisting() -> Any:
    """TVM's hoisting takes an `if` out of the `else` of another, and drops what the other does.

    LLVM moves what doesn't change out of loops anyhow, and rightly.
    """
    return _context({}, disabled_pass=["s_tir.HoistIfThenElse"])


def _context(config: dict[str, Any], **changes: Any) -> Any:
    now = tvm.transform.PassContext.current()
    return tvm.transform.PassContext(
        opt_level=now.opt_level,
        instruments=list(now.instruments),
        config={**dict(now.config.items()), **config},
        **changes,
    )


def keep_on_stack(mod: Any) -> Any:
    """Mark the local buffers of all lowered functions, so that they become plain stack slots."""
    kept = {
        name: func.with_body(_marked(func.body))
        for name, func in mod.functions_items()
        if isinstance(func, tirx.PrimFunc)
    }
    for name, func in kept.items():
        mod[name] = func
    return mod


def _marked(node: Any) -> Any:
    if isinstance(node, tirx.SeqStmt):
        return tirx.SeqStmt([_marked(each) for each in node.seq])
    if isinstance(node, tirx.For):
        return loop_with(node, _marked(node.body))
    if isinstance(node, tirx.AttrStmt):
        return tirx.AttrStmt(node.node, node.attr_key, node.value, _marked(node.body))
    if isinstance(node, tirx.IfThenElse):
        other = None if node.else_case is None else _marked(node.else_case)
        return tirx.IfThenElse(node.condition, _marked(node.then_case), other)
    if isinstance(node, tirx.AllocBuffer) and _is_small(node.buffer):
        return tirx.AllocBuffer(node.buffer, {**dict(node.annotations), _KEEP: tirx.const(1, "bool")})
    return node


def _is_small(buffer: Any) -> bool:
    sizes = [int(size) for size in buffer.shape if isinstance(size, tirx.IntImm | int)]
    lanes = tvm.DataType(str(buffer.dtype)).lanes
    item = tvm.DataType(str(buffer.dtype)).bits // 8
    fixed = len(sizes) == len(buffer.shape)
    return fixed and str(buffer.scope()) == "local" and math.prod(sizes) * lanes * item <= STACK_BYTES
