"""Loops of grouped convolutions, written down tile by tile; see `loops.walk`."""

from __future__ import annotations

import math
from collections.abc import Callable

from tvm import tirx

from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.vectors import bind, load, local, number, pieces, spread_lanes, store
from modeldyno.compiler.loops.walk import Parts, Tile, Walk, loop, share, tap_lines, tiles_of_line

# Weights of all groups up to this size stay in the first-level cache while all pixels are walked.
NEAR_BYTES = 24 << 10


def grouped_loops(walk: Walk, parts: Parts) -> Statement:
    """Give all loops of a grouped convolution."""
    batch, height, _, channels = walk.out
    per_out, columns = channels // walk.groups, parts.panel[-1]
    whole, rest = divmod(per_out, columns)
    runs = [(0, whole, columns), *([(whole, 1, rest)] if rest else [])]
    lines = batch * height
    kind = share(walk, math.prod(parts.panel[2:5]))

    def tile(group: tirx.Expr, panel: tirx.Expr, used: int) -> Callable[[Tile], Statement]:
        return lambda where: _grouped_tile(walk, parts, where, (group, panel), used)

    if 4 * math.prod(parts.panel) <= NEAR_BYTES:

        def panel_loop(where: Tile, first: int, count: int, used: int) -> Statement:
            return loop(walk.groups * count, lambda i: tile(i // count, i % count + first, used)(where))

        def panels(where: Tile) -> Statement:
            return sequence([panel_loop(where, *each) for each in runs if each[1]])

        return loop(lines, lambda i: tiles_of_line(walk, i // height, i % height, panels), kind=kind)

    def run(first: int, count: int, used: int) -> Statement:
        def line(i: tirx.Expr) -> Statement:
            panel, here = i // lines, i % lines
            place = tile(panel // count, panel % count + first, used)
            return tiles_of_line(walk, here // height, here % height, place)

        return loop(walk.groups * count * lines, line, kind=kind)

    return sequence([run(*each) for each in runs if each[1]])


def _grouped_tile(
    walk: Walk, parts: Parts, where: Tile, panel: tuple[tirx.Expr, tirx.Expr], used: int
) -> Statement:
    """Sum a tile of one panel of weights (group, number in the group), `used` of its columns outputs."""
    _, tiles, height, width, depth, columns = parts.panel
    group, place = panel
    vectors = math.ceil(used / walk.lanes)
    sums = [[local(walk.lanes, "sum") for _ in range(vectors)] for _ in range(walk.rows)]

    def taps(kh: tirx.Expr) -> Statement:
        return sequence([tap(kh, kw) for kw in range(width) if any(_rows_inside(walk, where, kw))])

    def tap(kh: tirx.Expr, kw: int) -> Statement:
        first = (((group * tiles + place) * height + kh) * width + kw) * depth * columns
        start = [
            walk.pixel(where.n, walk.line(where.h, kh), walk.column(where.start, row, kw))
            for row in range(walk.rows)
        ]
        rows = [row for row, inside in enumerate(_rows_inside(walk, where, kw)) if inside]

        def step(ic: tirx.Expr) -> Statement:
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

        return loop(depth, step)

    flat = [total for row in sums for total in row]
    ends = [
        parts.finish([*pixel, _channel(walk, panel, columns, v, start)], total, start, lanes)
        for row, pixel in enumerate([where.n, where.h, where.start + row] for row in range(walk.rows))
        for v, total in enumerate(sums[row])
        for start, lanes in pieces(min(walk.lanes, used - v * walk.lanes), walk.lanes)
    ]
    zeros = [store(each, 0, number(0, walk.lanes), walk.lanes) for each in flat]
    allocations = [tirx.AllocBuffer(each) for each in flat]
    return sequence([*allocations, *zeros, tap_lines(walk, where.h, taps), *ends])


def _channel(
    walk: Walk, panel: tuple[tirx.Expr, tirx.Expr], columns: int, vector: int, start: int
) -> tirx.Expr:
    """Output channel of lane `start` of a vector of a panel's sums."""
    return panel[0] * (walk.out[3] // walk.groups) + panel[1] * columns + vector * walk.lanes + start


def _rows_inside(walk: Walk, where: Tile, tap: int) -> list[bool]:
    return [where.inside(row, tap) for row in range(walk.rows)]


def shuffled(channel: tirx.Expr, groups: int, channels: int) -> tirx.Expr:
    """Give the channel that comes to be this one by a shuffle in so many groups."""
    return channel if groups == 1 else channel % groups * (channels // groups) + channel // groups
