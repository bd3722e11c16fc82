"""What each tensor program computes, moves and is called, taken before scheduling hides it.

Useful operations are counted, not done ones: 2 for each multiply-add of the operator as the model defines
it. A kernel that does more (whole tiles) or fewer (Winograd) says so by the block annotation FLOPS.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import tvm
from tvm import relax, s_tir
from tvm.error import InternalError
from tvm.ir.prim.expr import Add, Mul
from tvm.s_tir import ScheduleError
from tvm.s_tir.analysis import estimate_tir_flops

from modeldyno.compiler.loops.marks import FLOPS
from modeldyno.runtime.records.kernels import KernelFacts
from modeldyno.runtime.records.weights import ArgumentSpec

if TYPE_CHECKING:
    from tvm import tirx

_CALLS = ("relax.call_tir", "relax.call_tir_inplace")


def kernel_facts(module: tvm.IRModule) -> tuple[KernelFacts, ...]:
    """Give the facts of each tensor program that `main` calls, in the order of the first calls.

    A program of symbolic shape is left out: its sizes are not known here.
    """
    calls: dict[str, list[relax.Call]] = {}

    def visit(expr: relax.Expr) -> None:
        if isinstance(expr, relax.Call) and getattr(expr.op, "name", "") in _CALLS:
            calls.setdefault(expr.args[0].name_hint, []).append(expr)

    relax.analysis.post_order_visit(module["main"], visit)
    facts = []
    for name, found in calls.items():
        with suppress(TypeError):  # int() of a symbolic size
            facts.append(_facts(name, module[name], found))
    return tuple(facts)


def settled_facts(
    facts: tuple[KernelFacts, ...], renamed: Mapping[str, str], main: relax.Function
) -> tuple[KernelFacts, ...]:
    """Give the facts of the kernels that `main` calls in the end, `renamed` from new names to old ones."""
    counts: Counter[str] = Counter()

    def visit(expr: relax.Expr) -> None:
        if isinstance(expr, relax.Call) and isinstance(expr.op, relax.GlobalVar):
            counts[expr.op.name_hint] += 1

    relax.analysis.post_order_visit(main, visit)
    known = {each.name: each for each in facts}
    names = {name: renamed.get(name, name) for name in counts}
    return tuple(
        known[old].model_copy(update={"name": name, "calls": counts[name]})
        for name, old in names.items()
        if old in known
    )


def _facts(name: str, func: tirx.PrimFunc, calls: list[relax.Call]) -> KernelFacts:
    arguments = [
        ArgumentSpec(dtype=str(param.ty.dtype), shape=tuple(int(size) for size in param.ty.shape))
        for param in func.params
        if hasattr(param.ty, "shape")
    ]
    outputs = len(calls[0].ty.fields) if isinstance(calls[0].ty, relax.TupleType) else 1
    blocks = _blocks(func)
    return KernelFacts(
        name=name,
        kind=_kind(name, blocks),
        calls=len(calls),
        flops=_flops(func, blocks),
        bytes=sum(argument.bytes for argument in arguments),
        inputs=tuple(arguments[:-outputs]),
        outputs=tuple(arguments[-outputs:]),
    )


def _blocks(func: tirx.PrimFunc) -> list[s_tir.SBlock]:
    """Blocks below the root, in order; none of a program that is no schedulable one (a sort, say)."""
    with suppress(InternalError, ScheduleError, TypeError, ValueError):
        sch = s_tir.Schedule(func)
        return [sch.get(block) for block in sch.get_child_blocks(sch.get_sblock("root"))]
    return []


def _kind(name: str, blocks: list[s_tir.SBlock]) -> str:
    """The name of the block that one of our kernels marks, or the function's without its numbers."""
    ours = [
        block.name_hint for block in blocks if any(key.startswith("dyno.") for key in block.annotations or {})
    ]
    return re.sub(r"(?<=[a-z])\d+(?=_|$)", "", ours[0] if ours else name.removeprefix("fused_"))


def _flops(func: tirx.PrimFunc, blocks: list[s_tir.SBlock]) -> int | None:
    """Count what the annotations say, else the multiply-adds, else what TVM estimates; None if it can't."""
    stated = [int(block.annotations[FLOPS]) for block in blocks if FLOPS in (block.annotations or {})]
    if stated:
        return sum(stated)
    products = [block for block in blocks if _is_sum_of_products(block)]
    if products:
        return sum(2 * _useful_points(block, blocks) for block in products)
    with suppress(InternalError, RuntimeError, ValueError, TypeError):
        return int(estimate_tir_flops(tvm.IRModule({"main": func})))
    return None


def _is_sum_of_products(block: s_tir.SBlock) -> bool:
    value = getattr(block.body, "value", None)
    return block.init is not None and isinstance(value, Add) and isinstance(value.b, Mul)


def _useful_points(block: s_tir.SBlock, blocks: list[s_tir.SBlock]) -> int:
    """Steps of a block's loops, without those whose result a crop behind it throws away."""
    steps = math.prod(int(axis.dom.extent) for axis in block.iter_vars)
    written = block.writes[0].source
    sizes = [int(size) for size in written.ty.shape]
    readers = [
        (other, region)
        for other in blocks
        for region in other.reads
        if region.source.same_as(written) and not other.same_as(block)
    ]
    if len(readers) != 1:
        return steps
    crop, region = readers[0]
    kept = [int(axis.dom.extent) for axis in crop.iter_vars]
    one_to_one = len(kept) == len(sizes) and all(
        rng.min.same_as(axis.var) for rng, axis in zip(region.region, crop.iter_vars, strict=True)
    )
    return steps // math.prod(sizes) * math.prod(kept) if one_to_one else steps
