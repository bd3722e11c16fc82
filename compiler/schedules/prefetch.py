"""Prefetch instructions in scheduled functions: what the next tiles will read is fetched while this one sums.

A matrix product at a core's peak reads each weight once for every row of a tile. Where the weights lie beyond
the second-level cache, the first row tile of each block of columns waits for them, and the others do not: the
processor's own prefetchers stop at every 4 KiB page. So each row tile fetches its share of the next block.
The same goes for what a tile's tail reads (a residual) and writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import tvm
from tvm import s_tir, tirx

WEIGHTS = (
    "dyno.prefetch_weights"  # on the loop around STEPS reduction steps; for its value see _weight_fetches
)
TILE_START = "dyno.prefetch_tile"  # on the loop around a tile: [rows, columns] of it
LINE_FLOATS = 16  # a cache line of 64 bytes
STEPS = 8  # reduction steps between two prefetches of weights
_READ, _WRITE, _DATA = 0, 1, 1
_NEAR, _FAR = 3, 2  # into the first, the second level

Statement = Any


def insert_prefetches(func: Any) -> Any:
    """Put prefetches into the loops that are marked by WEIGHTS or TILE_START."""
    body = _rebuilt(func.body)
    return tirx.PrimFunc(func.params, body, func.ret_type, func.attrs)


def _rebuilt(node: Statement) -> Statement:
    """Rebuild a statement, its marked loops with prefetches in front of their bodies."""
    if isinstance(node, tirx.SeqStmt):
        return tirx.SeqStmt([_rebuilt(each) for each in node.seq])
    if isinstance(node, s_tir.SBlockRealize):
        return s_tir.SBlockRealize(node.iter_values, node.predicate, _rebuilt_block(node.block))
    if not isinstance(node, tirx.For):
        return node
    marks = {str(key): value for key, value in node.annotations.items()}
    body = _rebuilt(node.body)
    fetches: list[Statement] = []
    if WEIGHTS in marks:
        fetches = [*_weight_fetches(node, [int(each) for each in marks.pop(WEIGHTS)])]
    if TILE_START in marks:
        fetches = [*_tile_fetches(node, [int(each) for each in marks.pop(TILE_START)])]
    if fetches:
        body = tirx.SeqStmt([*fetches, body])
    return tirx.For(
        node.loop_var, node.min, node.extent, node.kind, body, node.thread_binding, marks, node.step
    )


def _rebuilt_block(block: Any) -> Any:
    return s_tir.SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        _rebuilt(block.body),
        block.init,
        block.alloc_buffers,
        block.match_buffers,
        block.annotations,
    )


def _weight_fetches(loop: Any, facts: list[int]) -> Iterator[Statement]:
    """Fetch this row tile's share of the panel of weights that is `ahead` panels further on.

    `facts`: columns of a tile, ahead, rows of a tile, then the sizes of the axes that are walked for each
    panel, the tiled one last.
    """
    columns, ahead, rows, *walked = facts
    realize = _realizes(loop.body)[-1]
    axes = _at_start(realize.iter_values, _inner_loops(loop.body))
    kinds = [int(axis.iter_type) for axis in realize.block.iter_vars]
    spatial, reduced = axes[: kinds.count(0)], axes[kinds.count(0) :]
    region = realize.block.reads[-1]
    sizes = [int(size) for size in region.source.shape[-1 - len(reduced) : -1]]
    chunks, passes = math.prod(sizes) // STEPS, math.prod(walked) // rows
    lines = math.ceil(STEPS * columns / LINE_FLOATS / passes)
    number = tirx.floordiv(_flat(spatial[-1 - len(walked) : -1], walked), rows)
    chunk = tirx.floordiv(_flat(reduced, sizes), STEPS)
    first = (tirx.floormod(number, passes) * chunks + chunk) * lines
    panel = _panel(realize.block, axes, len(reduced))
    start = [*panel[:-1], panel[-1] + ahead, *[0] * len(reduced)]
    fetches = [
        _prefetch(region.source, [*start, (first + line) * LINE_FLOATS], _READ, _FAR) for line in range(lines)
    ]
    panel_lines = math.prod(sizes) * columns // LINE_FLOATS
    yield tirx.IfThenElse(first < panel_lines, _sequence(fetches), None)


def _panel(block: Any, axes: list[Any], reduced: int) -> list[Any]:
    """Give the place of the panel of packed weights that a block reads: all its indices but the last ones."""
    analyzer = tvm.sym.Analyzer()
    for axis, value in zip(block.iter_vars, axes, strict=True):
        analyzer.bind(axis.var, value)
    ranges = list(block.reads[-1].region)[: -1 - reduced]
    return [analyzer.simplify(each.min) for each in ranges]


def _tile_fetches(loop: Any, facts: list[int]) -> Iterator[Statement]:
    """Fetch what the tail of a tile of [rows, columns] reads at its own place, and the lines that it writes."""
    rows, columns = facts
    realize = _realizes(loop.body)[-1]
    block = realize.block
    axes = [axis.var for axis in block.iter_vars]
    written = block.writes[0]
    read = [each for each in block.reads if _same_place(each, axes) and str(each.source.scope()) == "global"]
    inner = _inner_loops(loop.body)
    start = _at_start(realize.iter_values, inner)
    for row in range(rows):
        for column in range(0, columns, LINE_FLOATS):
            place = [*start[:-2], start[-2] + row, start[-1] + column]
            for region in read:
                yield _prefetch(region.source, place, _READ, _NEAR)
            yield _prefetch(written.source, place, _WRITE, _NEAR)


def _same_place(region: Any, axes: list[Any]) -> bool:
    ranges = list(region.region)
    return len(ranges) == len(axes) and all(
        rng.min.same_as(axis) for rng, axis in zip(ranges, axes, strict=True)
    )


def _prefetch(buffer: Any, indices: list[Any], access: int, level: int) -> Statement:
    address = tirx.address_of(buffer[tuple(indices)])
    return tirx.Evaluate(tirx.call_intrin("void", "tirx.prefetch", address, access, level, _DATA))


def _sequence(statements: list[Statement]) -> Statement:
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(statements)


def _flat(axes: list[Any], sizes: list[int]) -> Any:
    """Number of a place in row-major order."""
    number: Any = 0
    for axis, size in zip(axes, sizes, strict=True):
        number = number * size + axis
    return number


def _at_start(values: list[Any], loops: list[Any]) -> list[Any]:
    """Give expressions with all of these loops at their first step."""
    analyzer = tvm.sym.Analyzer()
    for var in loops:
        analyzer.bind(var, tirx.const(0, var.ty.dtype))
    return [analyzer.simplify(value) for value in values]


def _inner_loops(node: Statement) -> list[Any]:
    if isinstance(node, tirx.For):
        return [node.loop_var, *_inner_loops(node.body)]
    if isinstance(node, tirx.SeqStmt):
        return [var for each in node.seq for var in _inner_loops(each)]
    return []


def _realizes(node: Statement) -> list[Any]:
    """Blocks under a statement, in order."""
    if isinstance(node, s_tir.SBlockRealize):
        return [node]
    if isinstance(node, tirx.For):
        return _realizes(node.body)
    return [found for each in node.seq for found in _realizes(each)] if isinstance(node, tirx.SeqStmt) else []
