"""Loops of grouped and depthwise convolutions, written down tile by tile.

A tile of rows (pixels of one line) and columns (output channels) is summed in registers over all taps. The
last tile of a line is moved back until it ends with the line; tiles at the border of the image are written
out with the taps that lie inside of it, those between run in a loop. A group's outputs that fill no whole
vector leave the registers in shorter ones. The element-wise tail (bias, activation, residual) is computed on
each vector before it is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import s_tir, tirx

from compiler.schedules.common import PARALLEL_STEPS, new_schedule, root_blocks, schedule_spatial
from compiler.schedules.grouped import WALK
from compiler.schedules.machine import Machine
from compiler.schedules.tile import element_wise_tail
from compiler.schedules.vectors import bind, load, local, number, pieces, sequence, spread_lanes, store

Statement = Any
# Weights of all groups up to this size stay in the first-level cache while all pixels are walked.
NEAR_BYTES = 24 << 10


@dataclass(frozen=True)
class _Walk:
    """What the loops go by: sizes of the image and the output, the filter and its steps."""

    image: tuple[int, int, int, int]
    out: tuple[int, int, int, int]
    kernel: tuple[int, int]
    steps: tuple[int, int]
    pads: tuple[int, int]  # top, left
    gaps: tuple[int, int]
    groups: int  # 0 is depthwise
    rows: int
    lanes: int

    def pixel(self, n: Any, y: Any, x: Any) -> Any:
        """Index of the first channel of an input pixel."""
        _, height, width, depth = self.image
        return ((n * height + y) * width + x) * depth

    def column(self, start: Any, row: int, tap: int) -> Any:
        """Input column under a tap for the row-th pixel of the tile that begins at `start`."""
        return (start + row) * self.steps[1] + (tap * self.gaps[1] - self.pads[1])

    def line(self, h: Any, tap: Any) -> Any:
        """Input line under a tap."""
        return h * self.steps[0] + tap * self.gaps[0] - self.pads[0]


@dataclass(frozen=True)
class _Tile:
    """Where a tile lies, and which of its (row, tap) pairs along the line are inside the image."""

    n: Any
    h: Any
    start: Any
    inside: Callable[[int, int], bool]


@dataclass(frozen=True)
class _Parts:
    """Flat views of what is read, the sums as the tail reads them, and the tail."""

    data: Any
    weight: Any
    panel: tuple[int, ...]  # the weights' sizes
    summed: Any
    tail: Any

    def finish(self, places: list[Any], sums: Any, first: int, lanes: int) -> Statement:
        """Hand `lanes` sums from `first` on to the tail: `places` are the output's indices."""

        def give(lane: Any) -> Statement:
            value = tirx.BufferLoad(sums, [first + lane])
            return tirx.BufferStore(self.summed, value, [*places[:-1], places[-1] + lane])

        def take(lane: Any) -> Statement:
            return s_tir.SBlockRealize([*places[:-1], places[-1] + lane], True, self.tail)

        kind = "vectorized" if lanes > 1 else "serial"
        return sequence([_loop(lanes, give, kind=kind), _loop(lanes, take, kind=kind)])

    def block(self, body: Statement) -> Statement:
        """Keep the sums of a tile in a block, so that they are held for the tile alone."""
        block = s_tir.SBlock([], [], [], "tile", body, alloc_buffers=[self.summed])
        return s_tir.SBlockRealize([], True, block)


def grouped_walk(func: Any, machine: Machine) -> Any:
    """Write the loops of a function with a block that carries WALK; None when there is no such block."""
    sch = new_schedule(func)
    found = [block for block in root_blocks(sch) if WALK in sch.get(block).annotations]
    if len(found) != 1 or str(sch.get(found[0]).writes[0].source.dtype) != "float32":
        return None
    main = found[0]
    chain = element_wise_tail(sch, main, [])
    if chain is None:
        return None
    tail, rest = chain
    node, last = sch.get(main), sch.get(tail)
    names = [sch.get(block).name_hint for block in rest]
    walk, parts, views = _read(node, last, machine)
    body = _depthwise(walk, parts) if walk.groups == 0 else _grouped(walk, parts)
    done = _replaced(sch.mod["main"], [node.name_hint, last.name_hint], parts, sequence([*views, body]))
    if not names:
        return done
    after = new_schedule(done)
    for name in names:
        schedule_spatial(after, after.get_sblock(name), machine.lanes)
    return after.mod["main"]


def _read(node: Any, tail: Any, machine: Machine) -> tuple[_Walk, _Parts, list[Statement]]:
    groups, rows, *steps = (int(value) for value in node.annotations[WALK])
    data, weight = (region.source for region in node.reads)
    summed = node.writes[0].source
    kernel = weight.shape[:2] if groups == 0 else weight.shape[2:4]
    walk = _Walk(
        image=_sizes(data.shape),
        out=_sizes(summed.shape),
        kernel=_sizes(kernel),
        steps=(steps[0], steps[1]),
        pads=(steps[2], steps[3]),
        gaps=(steps[4], steps[5]),
        groups=groups,
        rows=rows,
        lanes=machine.lanes,
    )
    flats = [tirx.decl_buffer((math.prod(_sizes(each.shape)),), "float32", "flat") for each in (data, weight)]
    views = [tirx.DeclBuffer(flat, data=each.data) for flat, each in zip(flats, (data, weight), strict=True)]
    return walk, _Parts(flats[0], flats[1], _sizes(weight.shape), summed, tail), views


def _sizes(shape: Any) -> Any:
    return tuple(int(size) for size in shape)


def _replaced(func: Any, names: list[str], parts: _Parts, body: Statement) -> Any:
    """Put `body` in place of the loops around the blocks of these names."""
    root = func.body.block
    nests = list(root.body.seq) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    kept = [nest for nest in nests if _block_of(nest).name_hint not in names]
    mine = s_tir.SBlockRealize([], True, s_tir.SBlock([], [], [], names[0], body))
    buffers = [each for each in root.alloc_buffers if not each.same_as(parts.summed)]
    outer = s_tir.SBlock([], [], [], "root", sequence([mine, *kept]), alloc_buffers=buffers)
    return tirx.PrimFunc(func.params, s_tir.SBlockRealize([], True, outer), func.ret_type, func.attrs)


def _block_of(node: Statement) -> Any:
    while isinstance(node, tirx.For):
        node = node.body
    return node.block


def _depthwise(walk: _Walk, parts: _Parts) -> Statement:
    batch, height, _, channels = walk.out
    whole = channels - channels % walk.lanes
    rest = [(whole + start, lanes) for start, lanes in pieces(channels - whole, walk.lanes)]

    def tile(where: _Tile) -> Statement:
        vectors = [_depthwise_tile(walk, parts, where, start, lanes) for start, lanes in rest]
        if whole:
            run = _loop(
                whole // walk.lanes,
                lambda v: _depthwise_tile(walk, parts, where, v * walk.lanes, walk.lanes),
            )
            vectors = [run, *vectors]
        return sequence(vectors)

    def line(i: Any) -> Statement:
        return _tiles(walk, i // height, i % height, tile)

    return _loop(batch * height, line, kind=_share(walk, math.prod(walk.kernel)))


def _depthwise_tile(walk: _Walk, parts: _Parts, where: _Tile, channel: Any, lanes: int) -> Statement:
    depth, width = walk.image[3], walk.kernel[1]
    sums = [local(lanes, "sum") for _ in range(walk.rows)]

    def taps(kh: Any) -> Statement:
        statements: list[Statement] = []
        for kw in range(width):
            given, factor = bind(load(parts.weight, (kh * width + kw) * depth + channel, lanes), lanes)
            statements.append(given)
            for row in range(walk.rows):
                if where.inside(row, kw):
                    pixel = walk.pixel(where.n, walk.line(where.h, kh), walk.column(where.start, row, kw))
                    value = load(sums[row], 0, lanes) + load(parts.data, pixel + channel, lanes) * factor
                    statements.append(store(sums[row], 0, value, lanes))
        return sequence(statements)

    ends = [
        parts.finish([where.n, where.h, where.start + row, channel], sums[row], 0, lanes)
        for row in range(walk.rows)
    ]
    zeros = [store(each, 0, number(0, lanes), lanes) for each in sums]
    allocations = [tirx.AllocBuffer(each) for each in sums]
    return parts.block(sequence([*allocations, *zeros, _tap_lines(walk, where.h, taps), *ends]))


def _grouped(walk: _Walk, parts: _Parts) -> Statement:
    batch, height, _, channels = walk.out
    per_out, columns = channels // walk.groups, parts.panel[-1]
    whole, rest = divmod(per_out, columns)
    runs = [(0, whole, columns), *([(whole, 1, rest)] if rest else [])]
    lines = batch * height
    kind = _share(walk, math.prod(parts.panel[2:5]))

    def tile(group: Any, panel: Any, used: int) -> Callable[[_Tile], Statement]:
        return lambda where: _grouped_tile(walk, parts, where, (group, panel), used)

    if 4 * math.prod(parts.panel) <= NEAR_BYTES:

        def panels(where: _Tile) -> Statement:
            return sequence(
                [
                    _loop(
                        walk.groups * count,
                        lambda i, c=count, f=first, u=used: tile(i // c, i % c + f, u)(where),
                    )
                    for first, count, used in runs
                    if count
                ]
            )

        return _loop(lines, lambda i: _tiles(walk, i // height, i % height, panels), kind=kind)

    def run(first: int, count: int, used: int) -> Statement:
        def line(i: Any) -> Statement:
            panel, here = i // lines, i % lines
            place = tile(panel // count, panel % count + first, used)
            return _tiles(walk, here // height, here % height, place)

        return _loop(walk.groups * count * lines, line, kind=kind)

    return sequence([run(*each) for each in runs if each[1]])


def _grouped_tile(
    walk: _Walk, parts: _Parts, where: _Tile, panel: tuple[Any, Any], used: int
) -> Statement:
    """Sum a tile of one panel of weights (group, number in the group), `used` of its columns outputs."""
    _, tiles, height, width, depth, columns = parts.panel
    group, place = panel
    vectors = math.ceil(used / walk.lanes)
    sums = [[local(walk.lanes, "sum") for _ in range(vectors)] for _ in range(walk.rows)]

    def taps(kh: Any) -> Statement:
        return sequence([tap(kh, kw) for kw in range(width) if any(_rows_inside(walk, where, kw))])

    def tap(kh: Any, kw: int) -> Statement:
        first = (((group * tiles + place) * height + kh) * width + kw) * depth * columns
        start = [
            walk.pixel(where.n, walk.line(where.h, kh), walk.column(where.start, row, kw)) + group * depth
            for row in range(walk.rows)
        ]
        rows = [row for row, inside in enumerate(_rows_inside(walk, where, kw)) if inside]

        def step(ic: Any) -> Statement:
            weights = [
                bind(load(parts.weight, first + ic * columns + v * walk.lanes, walk.lanes), walk.lanes)
                for v in range(vectors)
            ]
            statements = [given for given, _ in weights]
            for row in rows:
                given, factor = bind(spread_lanes(load(parts.data, start[row] + ic), walk.lanes), walk.lanes)
                statements.append(given)
                for total, (_, weight) in zip(sums[row], weights, strict=True):
                    value = load(total, 0, walk.lanes) + factor * weight
                    statements.append(store(total, 0, value, walk.lanes))
            return sequence(statements)

        return _loop(depth, step)

    flat = [total for row in sums for total in row]
    ends = [
        parts.finish([where.n, where.h, where.start + row, _channel(walk, panel, columns, v, start)], total, start, lanes)
        for row in range(walk.rows)
        for v, total in enumerate(sums[row])
        for start, lanes in pieces(min(walk.lanes, used - v * walk.lanes), walk.lanes)
    ]
    zeros = [store(each, 0, number(0, walk.lanes), walk.lanes) for each in flat]
    allocations = [tirx.AllocBuffer(each) for each in flat]
    return parts.block(sequence([*allocations, *zeros, _tap_lines(walk, where.h, taps), *ends]))


def _channel(walk: _Walk, panel: tuple[Any, Any], columns: int, vector: int, start: int) -> Any:
    """Output channel of lane `start` of a vector of a panel's sums."""
    return panel[0] * (walk.out[3] // walk.groups) + panel[1] * columns + vector * walk.lanes + start


def _rows_inside(walk: _Walk, where: _Tile, tap: int) -> list[bool]:
    return [where.inside(row, tap) for row in range(walk.rows)]


def _tiles(walk: _Walk, n: Any, h: Any, tile: Callable[[_Tile], Statement]) -> Statement:
    """Walk over one line: tiles at its ends one by one, those that see no border in a loop."""
    width, rows = walk.out[2], walk.rows
    starts = [min(start, width - rows) for start in range(0, width, rows)]

    def inside(start: int) -> Callable[[int, int], bool]:
        return lambda row, tap: 0 <= int(walk.column(start, row, tap)) < walk.image[2]

    def at_border(start: int) -> bool:
        return not all(inside(start)(row, tap) for row in range(rows) for tap in range(walk.kernel[1]))

    statements = []
    inner = [place for place, start in enumerate(starts) if start == place * rows and not at_border(start)]
    for place, start in enumerate(starts):
        if place not in inner:
            statements.append(tile(_Tile(n, h, tirx.const(start, "int64"), inside(start))))
        elif place == inner[0]:
            run = _loop(
                len(inner),
                lambda i: tile(_Tile(n, h, (i + inner[0]) * rows, lambda _row, _tap: True)),
            )
            statements.append(run)
    return sequence(statements)


def _tap_lines(walk: _Walk, h: Any, taps: Callable[[Any], Statement]) -> Statement:
    """Run over the lines of the filter that lie inside of the image."""
    height, count, gap = walk.image[1], walk.kernel[0], walk.gaps[0]
    ends = [walk.line(each, tap) for each in (0, walk.out[1] - 1) for tap in (0, count - 1)]
    if min(ends) >= 0 and max(ends) < height:
        return _loop(count, taps)
    above = walk.pads[0] - h * walk.steps[0]
    first = tirx.max(tirx.const(0, "int64"), tirx.floordiv(above + gap - 1, gap))
    beyond = tirx.min(tirx.const(count, "int64"), tirx.floordiv(height - 1 + above, gap) + 1)
    extent = tirx.max(tirx.const(0, "int64"), beyond - first)
    return _loop(extent, lambda i: taps(first + i))


def _share(walk: _Walk, taps: int) -> str:
    return "parallel" if math.prod(walk.out) * taps >= PARALLEL_STEPS else "serial"


def _loop(extent: Any, emit: Callable[[Any], Statement], *, kind: str = "serial") -> Statement:
    """Repeat what `emit` gives for the loop variable; no loop where it runs once."""
    if isinstance(extent, int) and extent == 1:
        return emit(tirx.const(0, "int64"))
    variable = tirx.Var("i", "int64")
    size = tirx.const(extent, "int64") if isinstance(extent, int) else extent
    kinds = {
        "serial": tirx.ForKind.SERIAL,
        "parallel": tirx.ForKind.PARALLEL,
        "vectorized": tirx.ForKind.VECTORIZED,
    }
    return tirx.For(variable, tirx.const(0, "int64"), size, kinds[kind], emit(variable))
