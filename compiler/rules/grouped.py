"""The rule for grouped and depthwise convolutions: their loops in place of what TE wrote, the tail inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm import s_tir, tirx

from modeldyno.compiler.loops.common import marked_block, new_schedule, schedule_spatial
from modeldyno.compiler.loops.depthwise_loops import depthwise_loops
from modeldyno.compiler.loops.epilogue import find_tail, form_tail
from modeldyno.compiler.loops.grouped_loops import grouped_loops
from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.marks import WALK
from modeldyno.compiler.loops.walk import Parts, Walk
from modeldyno.compiler.targets.machine import Machine


def walk_applies(func: tirx.PrimFunc, _machine: Machine) -> bool:
    """Whether one block of float32 carries WALK, and what follows it can be computed on its sums."""
    sch = new_schedule(func)
    main = marked_block(sch, WALK)
    if main is None or str(sch.get(main).writes[0].source.dtype) != "float32":
        return False
    return find_tail(sch, main, []) is not None


def grouped_walk(func: tirx.PrimFunc, machine: Machine) -> tirx.PrimFunc:
    """Write the loops of a function with a block that carries WALK."""
    sch = new_schedule(func)
    main = marked_block(sch, WALK)
    found = find_tail(sch, main, [])
    assert found is not None  # noqa: S101 - walk_applies saw to it
    tail = form_tail(sch, found)
    node, last = sch.get(main), sch.get(tail)
    names = [sch.get(block).name_hint for block in found.rest]
    walk, parts, views = _read(node, last, machine)
    body = depthwise_loops(walk, parts) if walk.groups == 0 else grouped_loops(walk, parts)
    done = _replaced(sch.mod["main"], [node.name_hint, last.name_hint], parts, sequence([*views, body]))
    if not names:
        return done
    after = new_schedule(done)
    for name in names:
        schedule_spatial(after, after.get_sblock(name), machine.lanes)
    return after.mod["main"]


def _read(node: s_tir.SBlock, tail: s_tir.SBlock, machine: Machine) -> tuple[Walk, Parts, list[Statement]]:
    groups, shuffle, rows, *steps = (int(value) for value in node.annotations[WALK])
    data, weight = (region.source for region in node.reads)
    summed = node.writes[0].source
    kernel = weight.shape[:2] if groups == 0 else weight.shape[2:4]
    walk = Walk(
        image=_sizes(data.shape),
        out=_sizes(summed.shape),
        kernel=_sizes(kernel),
        steps=(steps[0], steps[1]),
        pads=(steps[2], steps[3]),
        gaps=(steps[4], steps[5]),
        groups=groups,
        shuffle=shuffle,
        rows=rows,
        lanes=machine.lanes,
        vectors=steps[6],
        unroll=bool(steps[7]),
    )
    flats = [tirx.decl_buffer((math.prod(_sizes(each.shape)),), "float32", "flat") for each in (data, weight)]
    views = [tirx.DeclBuffer(flat, data=each.data) for flat, each in zip(flats, (data, weight), strict=True)]
    return walk, Parts(flats[0], flats[1], _sizes(weight.shape), summed, tail), views


def _sizes(shape: Sequence[tirx.Expr]) -> Any:
    return tuple(int(size) for size in shape)


def _replaced(func: tirx.PrimFunc, names: list[str], parts: Parts, body: Statement) -> tirx.PrimFunc:
    """Put `body` in place of the loops around the blocks of these names."""
    root = func.body.block
    nests = list(root.body.seq) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    kept = [nest for nest in nests if _block_of(nest).name_hint not in names]
    mine = s_tir.SBlockRealize([], True, s_tir.SBlock([], [], [], names[0], body))
    buffers = [each for each in root.alloc_buffers if not each.same_as(parts.summed)]
    outer = s_tir.SBlock([], [], [], "root", sequence([mine, *kept]), alloc_buffers=buffers)
    return tirx.PrimFunc(func.params, s_tir.SBlockRealize([], True, outer), func.ret_type, func.attrs)


def _block_of(node: Statement) -> s_tir.SBlock:
    while isinstance(node, tirx.For):
        node = node.body
    return node.block
