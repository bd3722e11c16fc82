"""The tiles that loops of grouped and depthwise convolutions walk over.

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

from tvm import s_tir, tirx

from modeldyno.compiler.loops.common import PARALLEL_STEPS
from modeldyno.compiler.loops.element import rebuilt
from modeldyno.compiler.loops.loops import Statement, sequence


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

    def pixel(self, n: tirx.Expr, y: tirx.Expr, x: tirx.Expr | int) -> tirx.Expr:
        """Index of the first channel of an input pixel."""
        _, height, width, depth = self.image
        return ((n * height + y) * width + x) * depth

    def column(self, start: tirx.Expr | int, row: int, tap: int) -> tirx.Expr | int:
        """Input column under a tap for the row-th pixel of the tile that begins at `start`."""
        return (start + row) * self.steps[1] + (tap * self.gaps[1] - self.pads[1])

    def line(self, h: tirx.Expr | int, tap: tirx.Expr | int) -> tirx.Expr | int:
        """Input line under a tap."""
        return h * self.steps[0] + tap * self.gaps[0] - self.pads[0]


@dataclass(frozen=True)
class Tile:
    """Where a tile lies, and which of its (row, tap) pairs along the line are inside the image."""

    n: tirx.Expr
    h: tirx.Expr
    start: tirx.Expr
    inside: Callable[[int, int], bool]


@dataclass(frozen=True)
class Parts:
    """Flat views of what is read, the sums as the tail reads them, and the tail."""

    data: tirx.Buffer
    weight: tirx.Buffer
    panel: tuple[int, ...]  # the weights' sizes
    summed: tirx.Buffer
    tail: s_tir.SBlock

    def finish(self, places: list[tirx.Expr | int], sums: tirx.Buffer, first: int, lanes: int) -> Statement:
        """Compute the tail on `lanes` sums from `first` on: `places` are the output's indices."""
        axes, body = [axis.var for axis in self.tail.iter_vars], self.tail.body

        def element(lane: tirx.Expr) -> Statement:
            indices = dict(zip(axes, [*places[:-1], places[-1] + lane], strict=True))
            value = rebuilt(body.value, indices, self.summed, tirx.BufferLoad(sums, [first + lane]))
            return tirx.BufferStore(body.buffer, value, list(indices.values()))

        return loop(lanes, element, kind="vectorized" if lanes > 1 else "serial")


def tiles_of_line(
    walk: Walk, n: tirx.Expr, h: tirx.Expr | int, tile: Callable[[Tile], Statement]
) -> Statement:
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
            run = loop(
                len(inner),
                lambda i: tile(Tile(n, h, (i + inner[0]) * rows, lambda _row, _tap: True)),
            )
            statements.append(run)
    return sequence(statements)


def tap_lines(walk: Walk, h: tirx.Expr | int, taps: Callable[[tirx.Expr], Statement]) -> Statement:
    """Run over the lines of the filter that lie inside of the image."""
    height, count, gap = walk.image[1], walk.kernel[0], walk.gaps[0]
    ends = [walk.line(each, tap) for each in (0, walk.out[1] - 1) for tap in (0, count - 1)]
    if min(ends) >= 0 and max(ends) < height:
        return loop(count, taps)
    above = walk.pads[0] - h * walk.steps[0]
    first = tirx.max(tirx.const(0, "int64"), tirx.floordiv(above + gap - 1, gap))
    beyond = tirx.min(tirx.const(count, "int64"), tirx.floordiv(height - 1 + above, gap) + 1)
    extent = tirx.max(tirx.const(0, "int64"), beyond - first)
    return loop(extent, lambda i: taps(first + i))


def tap_lines_unrolled(walk: Walk, h: tirx.Expr | int, taps: Callable[[tirx.Expr], Statement]) -> Statement:
    """Write all lines of the filter out where they lie inside of the image; else run over those that do."""
    count = walk.kernel[0]
    written = sequence([taps(tirx.const(tap, "int64")) for tap in range(count)])
    lines = [walk.line(h, tap) for tap in (0, count - 1)]
    ends = [walk.line(each, tap) for each in (0, walk.out[1] - 1) for tap in (0, count - 1)]
    if min(ends) >= 0 and max(ends) < walk.image[1]:
        return written
    inside = tirx.all(lines[0] >= 0, lines[1] < walk.image[1])
    return tirx.IfThenElse(inside, written, tap_lines(walk, h, taps))


def share(walk: Walk, taps: int) -> str:
    """Give the kind of the outermost loop: it runs in parallel where it has work enough."""
    return "parallel" if math.prod(walk.out) * taps >= PARALLEL_STEPS else "serial"


def loop(
    extent: tirx.Expr | int, emit: Callable[[tirx.Expr], Statement], *, kind: str = "serial"
) -> Statement:
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
