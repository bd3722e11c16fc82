"""Loops of depthwise convolutions, written down tile by tile; see `loops.walk`."""

from __future__ import annotations

import math

from tvm import tirx

from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.vectors import bind, load, local, number, pieces, store
from modeldyno.compiler.loops.walk import (
    Parts,
    Tile,
    Walk,
    loop,
    share,
    tap_lines,
    tap_lines_unrolled,
    tiles_of_line,
)


def depthwise_loops(walk: Walk, parts: Parts) -> Statement:
    """Give all loops of a depthwise convolution."""
    batch, height, _, channels = walk.out
    whole = channels - channels % walk.lanes
    rest = [(whole + start, lanes) for start, lanes in pieces(channels - whole, walk.lanes)]

    width = walk.vectors * walk.lanes
    wide = whole - whole % width
    runs = [(0, wide // width, walk.vectors), (wide, (whole - wide) // walk.lanes, 1)]

    def run(where: Tile, first: int, count: int, vectors: int) -> Statement:
        def one(place: tirx.Expr) -> Statement:
            start = place * (vectors * walk.lanes)
            start = start + first if first else start
            channels = [(start + each * walk.lanes if each else start, walk.lanes) for each in range(vectors)]
            return _depthwise_tile(walk, parts, where, channels)

        return loop(count, one)

    def tile(where: Tile) -> Statement:
        statements = [run(where, *each) for each in runs if each[1]]
        return sequence(
            [*statements, *(_depthwise_tile(walk, parts, where, [(start, lanes)]) for start, lanes in rest)]
        )

    def line(i: tirx.Expr) -> Statement:
        return tiles_of_line(walk, i // height, i % height, tile)

    return loop(batch * height, line, kind=share(walk, math.prod(walk.kernel)))


def _depthwise_tile(
    walk: Walk, parts: Parts, where: Tile, channels: list[tuple[tirx.Expr | int, int]]
) -> Statement:
    """Sum one tile; `channels` are its vectors: first channel and lanes of each."""
    depth, width = walk.image[3], walk.kernel[1]
    sums = [[local(lanes, "sum") for _ in range(walk.rows)] for _, lanes in channels]

    def taps(kh: tirx.Expr) -> Statement:
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
    lines = tap_lines_unrolled if walk.unroll else tap_lines
    return sequence([*allocations, *zeros, lines(walk, where.h, taps), *ends])
