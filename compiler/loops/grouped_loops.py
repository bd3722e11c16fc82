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

from tvm import tirx

from modeldyno.compiler.loops.common import PARALLEL_STEPS
from modeldyno.compiler.loops.element import rebuilt
from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.vectors import bind, load, local, number, pieces, spread_lanes, store

# Weights of all groups up to this size stay in the first-level cache while all pixels are walked.
NEAR_BYTES = 24 << 10


@dataclass(frozen=True)
class Walk:
    """What the loops go by: sizes of the image and the output, the filter and its steps."""

    image: tuple[int, int, int, int]
    out: tuple[int, int, int, int]
    kernel: tuple[int, int]
    steps: tuple[int, int]
    pads: tuple[int, int]  # top, left
    gaps: tuple[int, int]
    groups: int  # 0 is depthwise
    shuffle: int  # groups that the input's channels are shuffled in; 1 is none
    rows: int
    lanes: int
    vectors: int = 1  # of channels in a depthwise tile
    unroll: bool = False  # whether the lines of a depthwise filter are written out

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
class Tile:
    """Where a tile lies, and which of its (row, tap) pairs along the line are inside the image."""

    n: Any
    h: Any
    start: Any
    inside: Callable[[int, int], bool]


@dataclass(frozen=True)
class Parts:
    """Flat views of what is read, the sums as the tail reads them, and the tail."""

    data: Any
    weight: Any
    panel: tuple[int, ...]  # the weights' sizes
    summed: Any
    tail: Any

    def finish(self, places: list[Any], sums: Any, first: int, lanes: int) -> Statement:
        """Compute the tail on `lanes` sums from `first` on: `places` are the output's indices."""
        axes, body = [axis.var for axis in self.tail.iter_vars], self.tail.body

        def element(lane: Any) -> Statement:
            indices = dict(zip(axes, [*places[:-1], places[-1] + lane], strict=True))
            value = rebuilt(body.value, indices, self.summed, tirx.BufferLoad(sums, [first + lane]))
            return tirx.BufferStore(body.buffer, value, list(indices.values()))

        return _loop(lanes, element, kind="vectorized" if lanes > 1 else "serial")


def depthwise_loops(walk: Walk, parts: Parts) -> Statement:
    """Give all loops of a depthwise convolution."""
    batch, height, _, channels = walk.out
    whole = channels - channels % walk.lanes
    rest = [(whole + start, lanes) for start, lanes in pieces(channels - whole, walk.lanes)]

    width = walk.vectors * walk.lanes
    wide = whole - whole % width
    runs = [(0, wide // width, walk.vectors), (wide, (whole - wide) // walk.lanes, 1)]

    def run(where: Tile, first: int, count: int, vectors: int) -> Statement:
        def one(place: Any) -> Statement:
            start = place * (vectors * walk.lanes)
            start = start + first if first else start
            channels = [(start + each * walk.lanes if each else start, walk.lanes) for each in range(vectors)]
            return _depthwise_tile(walk, parts, where, channels)

        return _loop(count, one)

    def tile(where: Tile) -> Statement:
        statements = [run(where, *each) for each in runs if each[1]]
        return sequence(
            [*statements, *(_depthwise_tile(walk, parts, where, [(start, lanes)]) for start, lanes in rest)]
        )

    def line(i: Any) -> Statement:
        return _tiles(walk, i // height, i % height, tile)

    return _loop(batch * height, line, kind=_share(walk, math.prod(walk.kernel)))


def _depthwise_tile(walk: Walk, parts: Parts, where: Tile, channels: list[tuple[Any, int]]) -> Statement:
    """Sum one tile; `channels` are its vectors: first channel and lanes of each."""
    depth, width = walk.image[3], walk.kernel[1]
    sums = [[local(lanes, "sum") for _ in range(walk.rows)] for _, lanes in channels]

    def taps(kh: Any) -> Statement:
        statements: list[Statement] = []
        for kw in range(width):
            for (channel, lanes), mine in zip(channels, sums, strict=True):
                given, factor = bind(load(parts.weight, (kh * width + kw) * depth + channel, lanes), lanes)
                statements.append(given)
                for row in range(walk.rows):
                    if where.inside(row, kw):
                        pixel = walk.pixel(where.n, walk.line(where.h, kh), walk.column(where.start, row, kw))
                        value = load(mine[row], 0, lanes) + load(parts.data, pixel + channel, lanes) * factor
                        statements.append(store(mine[row], 0, value, lanes))
        return sequence(statements)

    places = [
        (mine[row], row, channel, lanes)
        for (channel, lanes), mine in zip(channels, sums, strict=True)
        for row in range(walk.rows)
    ]
    ends = [
        parts.finish([where.n, where.h, where.start + row, channel], each, 0, lanes)
        for each, row, channel, lanes in places
    ]
    zeros = [store(each, 0, number(0, lanes), lanes) for each, _, _, lanes in places]
    allocations = [tirx.AllocBuffer(each) for each, *_ in places]
    lines = _tap_lines_unrolled if walk.unroll else _tap_lines
    return sequence([*allocations, *zeros, lines(walk, where.h, taps), *ends])


def grouped_loops(walk: Walk, parts: Parts) -> Statement:
    """Give all loops of a grouped convolution."""
    batch, height, _, channels = walk.out
    per_out, columns = channels // walk.groups, parts.panel[-1]
    whole, rest = divmod(per_out, columns)
    runs = [(0, whole, columns), *([(whole, 1, rest)] if rest else [])]
    lines = batch * height
    kind = _share(walk, math.prod(parts.panel[2:5]))

    def tile(group: Any, panel: Any, used: int) -> Callable[[Tile], Statement]:
        return lambda where: _grouped_tile(walk, parts, where, (group, panel), used)

    if 4 * math.prod(parts.panel) <= NEAR_BYTES:

        def panel_loop(where: Tile, first: int, count: int, used: int) -> Statement:
            return _loop(walk.groups * count, lambda i: tile(i // count, i % count + first, used)(where))

        def panels(where: Tile) -> Statement:
            return sequence([panel_loop(where, *each) for each in runs if each[1]])

        return _loop(lines, lambda i: _tiles(walk, i // height, i % height, panels), kind=kind)

    def run(first: int, count: int, used: int) -> Statement:
        def line(i: Any) -> Statement:
            panel, here = i // lines, i % lines
            place = tile(panel // count, panel % count + first, used)
            return _tiles(walk, here // height, here % height, place)

        return _loop(walk.groups * count * lines, line, kind=kind)

    return sequence([run(*each) for each in runs if each[1]])


def _grouped_tile(walk: Walk, parts: Parts, where: Tile, panel: tuple[Any, Any], used: int) -> Statement:
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
            walk.pixel(where.n, walk.line(where.h, kh), walk.column(where.start, row, kw))
            for row in range(walk.rows)
        ]
        rows = [row for row, inside in enumerate(_rows_inside(walk, where, kw)) if inside]

        def step(ic: Any) -> Statement:
            weights = [
                bind(load(parts.weight, first + ic * columns + v * walk.lanes, walk.lanes), walk.lanes)
                for v in range(vectors)
            ]
            statements = [given for given, _ in weights]
            channel = shuffled(group * depth + ic, walk.shuffle, walk.image[3])
            for row in rows:
                pixel = load(parts.data, start[row] + channel)
                given, factor = bind(spread_lanes(pixel, walk.lanes), walk.lanes)
                statements.append(given)
                for total, (_, weight) in zip(sums[row], weights, strict=True):
                    value = load(total, 0, walk.lanes) + factor * weight
                    statements.append(store(total, 0, value, walk.lanes))
            return sequence(statements)

        return _loop(depth, step)

    flat = [total for row in sums for total in row]
    ends = [
        parts.finish([*pixel, _channel(walk, panel, columns, v, start)], total, start, lanes)
        for row, pixel in enumerate([where.n, where.h, where.start + row] for row in range(walk.rows))
        for v, total in enumerate(sums[row])
        for start, lanes in pieces(min(walk.lanes, used - v * walk.lanes), walk.lanes)
    ]
    zeros = [store(each, 0, number(0, walk.lanes), walk.lanes) for each in flat]
    allocations = [tirx.AllocBuffer(each) for each in flat]
    return sequence([*allocations, *zeros, _tap_lines(walk, where.h, taps), *ends])


def _channel(walk: Walk, panel: tuple[Any, Any], columns: int, vector: int, start: int) -> Any:
    """Output channel of lane `start` of a vector of a panel's sums."""
    return panel[0] * (walk.out[3] // walk.groups) + panel[1] * columns + vector * walk.lanes + start


def _rows_inside(walk: Walk, where: Tile, tap: int) -> list[bool]:
    return [where.inside(row, tap) for row in range(walk.rows)]


def _tiles(walk: Walk, n: Any, h: Any, tile: Callable[[Tile], Statement]) -> Statement:
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
            statements.append(tile(Tile(n, h, tirx.const(start, "int64"), inside(start))))
        elif place == inner[0]:
            run = _loop(
                len(inner),
                lambda i: tile(Tile(n, h, (i + inner[0]) * rows, lambda _row, _tap: True)),
            )
            statements.append(run)
    return sequence(statements)


def _tap_lines(walk: Walk, h: Any, taps: Callable[[Any], Statement]) -> Statement:
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


def _tap_lines_unrolled(walk: Walk, h: Any, taps: Callable[[Any], Statement]) -> Statement:
    """Write all lines of the filter out where they lie inside of the image; else run over those that do."""
    count = walk.kernel[0]
    written = sequence([taps(tirx.const(tap, "int64")) for tap in range(count)])
    lines = [walk.line(h, tap) for tap in (0, count - 1)]
    ends = [walk.line(each, tap) for each in (0, walk.out[1] - 1) for tap in (0, count - 1)]
    if min(ends) >= 0 and max(ends) < walk.image[1]:
        return written
    inside = tirx.all(lines[0] >= 0, lines[1] < walk.image[1])
    return tirx.IfThenElse(inside, written, _tap_lines(walk, h, taps))


def _share(walk: Walk, taps: int) -> str:
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


def shuffled(channel: Any, groups: int, channels: int) -> Any:
    """Give the channel that comes to be this one by a shuffle in so many groups."""
    return channel if groups == 1 else channel % groups * (channels // groups) + channel // groups
