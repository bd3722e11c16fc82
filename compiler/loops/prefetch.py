"""Prefetch instructions in scheduled functions: what the next tiles will read is fetched while this one sums.

A matrix product at a core's peak reads each weight once for every row of a tile. Where the weights lie beyond
the second-level cache, the first row tile of each block of columns waits for them, and the others do not: the
processor's own prefetchers stop at every 4 KiB page. So each row tile fetches its share of the next block.
The same goes for what a tile's tail reads (a residual) and writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tvm import tirx

from modeldyno.compiler.loops.common import reads_axes
from modeldyno.compiler.loops.loops import (
    Statement,
    at_start,
    inner_loops,
    realizes,
    replaced,
    rewrite,
    sequence,
)
from modeldyno.compiler.loops.marks import SPREAD, STEPS

if TYPE_CHECKING:
    from tvm import s_tir

LINE_FLOATS = 16  # a cache line of 64 bytes
SHORT_LINES = 64  # 4 KiB: far enough ahead to hide memory's latency in a stream of weights
AHEAD = 3  # chunks of steps: what lies in the third level is fetched so much before it is read
# From the number of a chunk of steps, and how many there are, to what is fetched in it.
Maker = Callable[[tirx.Expr, int], Statement | None]
_READ, _WRITE, _DATA = 0, 1, 1
_NEAR, _FAR = 3, 2  # into the first, the second level


def fetch_weights(loop: tirx.For, facts: list[int]) -> Statement:
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


def _panel(block: s_tir.SBlock, axes: Sequence[tirx.Expr], reduced: int) -> list[tirx.Expr]:
    """Give the place of the panel of packed weights that a block reads: its indices before the reduction."""
    known = {axis.var: value for axis, value in zip(block.iter_vars, axes, strict=True)}
    return replaced((each.min for each in list(block.reads[-1].region)[: -1 - reduced]), known)


def _reduced_sizes(block: s_tir.SBlock) -> list[int]:
    """Sizes of a block's reduction axes, which stand behind the others."""
    return [int(axis.dom.extent) for axis in block.iter_vars if int(axis.iter_type)]


def fetch_tile(loop: tirx.For, facts: list[int]) -> Statement:
    """Fetch what a tile's tail reads in place, where it writes, and the input of the next row of tiles.

    `facts`: rows and columns of a tile, column tiles side by side, bytes of the second level. The fetches are
    spread over the steps of the sum, where it has a loop that carries SPREAD: all at once they would hold up
    its own loads, and early ones leave the first level before their turn comes.
    """
    rows, columns, across, l2_bytes = facts
    main, tail = (realizes(loop.body)[index] for index in (-2, -1))
    block = tail.block
    axes = [axis.var for axis in block.iter_vars]
    written = block.writes[0]
    read = [each for each in block.reads if reads_axes(each, axes) and str(each.source.scope()) == "global"]
    start = at_start(tail.iter_values, inner_loops(loop.body))

    def fetch_row(row: tirx.Expr | int) -> Statement:
        fetches = []
        for column in range(0, columns, LINE_FLOATS):
            place = [*start[:-2], start[-2] + row, start[-1] + column]
            fetches += [_prefetch(region.source, place, _READ, _NEAR) for region in read]
            fetches.append(_prefetch(written.source, place, _WRITE, _NEAR))
        return sequence(fetches)

    binds, maker = _input_fetches(loop, main, (rows, across), l2_bytes)
    body, found = _spread(loop.body, [_tail_fetches(rows, fetch_row), maker])
    return sequence([*binds, body] if found else [*map(fetch_row, range(rows)), loop.body])


def _spread(body: Statement, makers: list[Maker]) -> tuple[Statement, bool]:
    """Put what each maker gives into the loops that carry SPREAD; gives whether there are any."""
    found = []

    def fetch(loop: tirx.For, facts: list[int]) -> Statement:
        (steps,) = facts
        found.append(loop)
        realize = realizes(loop.body)[-1]
        sizes = _reduced_sizes(realize.block)
        reduced = at_start(realize.iter_values, inner_loops(loop.body))[-len(sizes) :]
        number = tirx.floordiv(_flat(reduced, sizes), steps)
        made = [maker(number, math.prod(sizes) // steps) for maker in makers]
        return sequence([*(each for each in made if each is not None), loop.body])

    return rewrite(body, {SPREAD: fetch}), bool(found)


def _tail_fetches(rows: int, fetch_row: Callable[[tirx.Expr | int], Statement]) -> Maker:
    """A tile's rows over its last chunks of steps, but so early that they arrive in time."""

    def make(number: tirx.Expr, total: int) -> Statement:
        ahead = min(AHEAD, total // 4)
        each = math.ceil(rows / (total - ahead))
        used = math.ceil(rows / each)
        first = number - (total - ahead - used)
        fetches = [fetch_row(_at_most(first * each + row, rows - 1, used * each - 1)) for row in range(each)]
        return tirx.IfThenElse(tirx.all(first >= 0, first < used), sequence(fetches), None)

    return make


def _input_fetches(
    loop: tirx.For, main: s_tir.SBlockRealize, tiles: tuple[int, int], l2_bytes: int
) -> tuple[list[Statement], Maker]:
    """The input of the next row of tiles, line by line at the steps that read the same of this one.

    Gives what is to be computed before the tile, and the maker, which makes nothing where the input is found
    in the second level anyhow, or where the tile reads more than the pixels under its outputs.
    """
    rows, across = tiles
    region = main.block.reads[-2]
    sizes = _reduced_sizes(main.block)
    far = 4 * math.prod(int(size) for size in region.source.shape) > l2_bytes
    if not far or math.prod(sizes[:-1]) != 1 or sizes[-1] % LINE_FLOATS:
        return [], lambda *_: None
    start = at_start(main.iter_values, inner_loops(loop.body))
    # By way of another variable: the loop's own stands on both sides.
    following = tirx.Var("following", loop.loop_var.ty.dtype)
    start = replaced(start, {loop.loop_var: following})
    start = replaced(start, {following: loop.loop_var + across})
    tiled = len(start) - len(sizes) - 2

    def place(row: int) -> list[tirx.Expr]:
        axes = [*start[:tiled], start[tiled] + row, *start[tiled + 1 :]]
        known = {axis.var: value for axis, value in zip(main.block.iter_vars, axes, strict=True)}
        return replaced((each.min for each in region.region), known)

    first, second = place(0), place(1)
    steps = replaced((b - a for a, b in zip(first, second, strict=True)), {})
    variables = [tirx.Var(f"next{index}", value.ty.dtype) for index, value in enumerate(first)]
    binds = [tirx.Bind(variable, value) for variable, value in zip(variables, first, strict=True)]

    def make(number: tirx.Expr, _: int) -> Statement | None:
        lines = []
        for row in range(rows):
            where = [variable + row * step for variable, step in zip(variables, steps, strict=True)]
            lines.append(_prefetch(region.source, [*where[:-1], where[-1] + number * STEPS], _READ, _FAR))
        due = tirx.floormod(number, LINE_FLOATS // STEPS) == 0
        if across > 1:
            due = tirx.all(due, tirx.floormod(loop.loop_var, across) == 0)
        return tirx.IfThenElse(due, sequence(lines), None)

    return binds, make


def _at_most(row: tirx.Expr | int, last: int, reached: int) -> tirx.Expr:
    return tirx.min(row, last) if reached > last else row


def _prefetch(buffer: tirx.Buffer, indices: list[tirx.Expr | int], access: int, level: int) -> Statement:
    address = tirx.address_of(buffer[tuple(indices)])
    return tirx.Evaluate(tirx.call_intrin("void", "tirx.prefetch", address, access, level, _DATA))


def _flat(axes: Sequence[tirx.Expr], sizes: list[int]) -> tirx.Expr:
    """Number of a place in row-major order."""
    number: tirx.Expr | int = 0
    for axis, size in zip(axes, sizes, strict=True):
        number = number * size + axis
    return number
