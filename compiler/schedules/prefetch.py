"""Prefetch instructions in scheduled functions: what the next tiles will read is fetched while this one sums.

A matrix product at a core's peak reads each weight once for every row of a tile. Where the weights lie beyond
the second-level cache, the first row tile of each block of columns waits for them, and the others do not: the
processor's own prefetchers stop at every 4 KiB page. So each row tile fetches its share of the next block.
The same goes for what a tile's tail reads (a residual) and writes.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import tirx

from compiler.schedules.common import reads_axes
from compiler.schedules.loops import Statement, at_start, inner_loops, realizes, sequence

WEIGHTS = "dyno.prefetch_weights"  # on the loop around STEPS reduction steps; for its value see fetch_weights
TILE_START = "dyno.prefetch_tile"  # on the loop around a tile: [rows, columns] of it
LINE_FLOATS = 16  # a cache line of 64 bytes
SHORT_LINES = 64  # 4 KiB: far enough ahead to hide memory's latency in a stream of weights
STEPS = 8  # reduction steps between two prefetches of weights
_READ, _WRITE, _DATA = 0, 1, 1
_NEAR, _FAR = 3, 2  # into the first, the second level


def fetch_weights(loop: Any, facts: list[int]) -> Statement:
    """Put in front of a loop's body: fetch this row tile's share of the weights `ahead` panels further on.

    `facts`: columns of a tile, ahead, rows of a tile, then the sizes of the axes that are walked for each
    panel, the tiled one last.
    """
    columns, ahead, rows, *walked = facts
    realize = realizes(loop.body)[-1]
    axes = at_start(realize.iter_values, inner_loops(loop.body))
    kinds = [int(axis.iter_type) for axis in realize.block.iter_vars]
    spatial, reduced = axes[: kinds.count(0)], axes[kinds.count(0) :]
    region = realize.block.reads[-1]
    sizes = [int(size) for size in region.source.shape[-1 - len(reduced) : -1]]
    chunks, passes = math.prod(sizes) // STEPS, math.ceil(math.prod(walked) / rows)
    lines = math.ceil(STEPS * columns / LINE_FLOATS / passes)
    number = tirx.floordiv(_flat(spatial[-1 - len(walked) : -1], walked), rows)
    chunk = tirx.floordiv(_flat(reduced, sizes), STEPS)
    first = (tirx.floormod(number, passes) * chunks + chunk) * lines
    panel_lines = math.prod(sizes) * columns // LINE_FLOATS
    panel = _panel(realize.block, axes, len(reduced))
    if passes == 1 and panel_lines > SHORT_LINES:
        # Each weight is read once: there is no time to fetch a panel in, only to run ahead in this one.
        ahead, first, panel_lines = 0, first + SHORT_LINES, panel_lines + SHORT_LINES
    start = [*panel[:-1], panel[-1] + ahead, *[0] * len(reduced)]
    fetches = [
        _prefetch(region.source, [*start, (first + line) * LINE_FLOATS], _READ, _FAR) for line in range(lines)
    ]
    return sequence([tirx.IfThenElse(first < panel_lines, sequence(fetches), None), loop.body])


def _panel(block: Any, axes: list[Any], reduced: int) -> list[Any]:
    """Give the place of the panel of packed weights that a block reads: its indices before the reduction."""
    analyzer = tvm.sym.Analyzer()
    for axis, value in zip(block.iter_vars, axes, strict=True):
        analyzer.bind(axis.var, value)
    ranges = list(block.reads[-1].region)[: -1 - reduced]
    return [analyzer.simplify(each.min) for each in ranges]


def fetch_tile(loop: Any, facts: list[int]) -> Statement:
    """Put in front of a tile of [rows, columns]: fetch what its tail reads in place, and where it writes."""
    rows, columns = facts
    realize = realizes(loop.body)[-1]
    block = realize.block
    axes = [axis.var for axis in block.iter_vars]
    written = block.writes[0]
    read = [each for each in block.reads if reads_axes(each, axes) and str(each.source.scope()) == "global"]
    inner = inner_loops(loop.body)
    start = at_start(realize.iter_values, inner)
    fetches = []
    for row in range(rows):
        for column in range(0, columns, LINE_FLOATS):
            place = [*start[:-2], start[-2] + row, start[-1] + column]
            fetches += [_prefetch(region.source, place, _READ, _NEAR) for region in read]
            fetches.append(_prefetch(written.source, place, _WRITE, _NEAR))
    return sequence([*fetches, loop.body])


def _prefetch(buffer: Any, indices: list[Any], access: int, level: int) -> Statement:
    address = tirx.address_of(buffer[tuple(indices)])
    return tirx.Evaluate(tirx.call_intrin("void", "tirx.prefetch", address, access, level, _DATA))


def _flat(axes: list[Any], sizes: list[int]) -> Any:
    """Number of a place in row-major order."""
    number: Any = 0
    for axis, size in zip(axes, sizes, strict=True):
        number = number * size + axis
    return number
