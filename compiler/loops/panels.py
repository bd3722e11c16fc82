"""Operands packed at run time: panels of one column tile each, in a buffer of the thread that reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from modeldyno.compiler.loops.loops import Statement, sequence
from modeldyno.compiler.loops.vectors import load, loop, number, pieces, store, transposed


@dataclass(frozen=True)
class Panels:
    """A [depth, columns] operand as [columns / width][depth][width], `width` a tile's columns."""

    columns: int
    depth: int
    lanes: int

    @property
    def vectors(self) -> int:
        """Vectors in a row of a panel: two, or one where the second would be all padding."""
        return 2 if self.columns > self.lanes else 1

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.lanes

    @property
    def padded(self) -> int:
        """Columns in whole vectors."""
        return -(-self.columns // self.lanes) * self.lanes

    @property
    def size(self) -> int:
        """Numbers that all panels hold."""
        return -(-self.columns // self.width) * self.width * self.depth

    def place(self, panel: tirx.Expr | int, step: tirx.Expr | int) -> tirx.Expr | int:
        """Where row `step` of a panel begins."""
        return (panel * self.depth + step) * self.width

    def column(self, vector: tirx.Expr | int) -> tirx.Expr | int:
        """Where the first row of a vector of columns begins."""
        return vector // self.vectors * (self.depth * self.width) + vector % self.vectors * self.lanes

    def each(self, emit: Callable[[tirx.Expr | int, int], Statement]) -> Statement:
        """emit(panel, vectors) for all panels; the last, where it is no whole one, with a plain number."""
        whole, rest = divmod(self.columns, self.width)
        statements = (
            [loop(whole, lambda panel: emit(panel if whole > 1 else 0, self.vectors))] if whole else []
        )
        if rest:
            statements.append(emit(whole, -(-rest // self.lanes)))
        return sequence(statements)


@dataclass(frozen=True)
class RowBlocks:
    """Rows in `blocks` blocks of two sizes that differ by one, the larger first; shared among `chunks`."""

    rows: int
    blocks: int
    chunks: int

    @property
    def _each_chunk(self) -> int:
        return -(-self.blocks // self.chunks)

    @property
    def most_rows(self) -> int:
        """Rows of the largest block."""
        return -(-self.rows // self.blocks)

    @property
    def chunk_rows(self) -> int:
        """Most rows that a chunk has."""
        return self._each_chunk * self.most_rows

    def start(self, block: tirx.Expr | int) -> tirx.Expr | int:
        """First row of a block."""
        least, larger = divmod(self.rows, self.blocks)
        return block * least + (tirx.min(block, larger) if larger else 0)

    def chunk_start(self, chunk: tirx.Expr) -> tirx.Expr | int:
        """First row of a chunk."""
        return self.start(chunk * self._each_chunk)

    def each(self, chunk: tirx.Expr, emit: Callable[[int, tirx.Expr], Statement]) -> Statement:
        """emit(rows, first row) for all blocks of a chunk, once for each of the two sizes."""
        least, larger = divmod(self.rows, self.blocks)

        def one(place: tirx.Expr) -> Statement:
            block = chunk * self._each_chunk + place
            first = self.start(block)
            small = emit(least, first)
            if self._each_chunk * self.chunks > self.blocks:
                small = tirx.IfThenElse(block < self.blocks, small, None)
            return tirx.IfThenElse(block < larger, emit(least + 1, first), small) if larger else small

        return loop(self._each_chunk, one)


def pack_rows(
    panels: Panels,
    source: tirx.Buffer,
    target: tirx.Buffer,
    place: Callable[[tirx.Expr | int], tirx.Expr],
    count: tirx.Expr | int,
) -> Statement:
    """Copy `count` rows, each of panels.columns numbers from place(row), into panels; zeros behind them."""

    def copy(step: tirx.Expr | int) -> Statement:
        statements = []
        for start, lanes in pieces(panels.columns, panels.lanes):
            if start % panels.lanes == 0 and lanes < panels.lanes:
                at = panels.place(start // panels.width, step) + start % panels.width
                statements.append(store(target, at, number(0, panels.lanes), panels.lanes))
            at = panels.place(start // panels.width, step) + start % panels.width
            statements.append(store(target, at, load(source, place(step) + start, lanes), lanes))
        return sequence(statements)

    return loop(count, copy)


def pack_transposed(
    panels: Panels,
    source: tirx.Buffer,
    target: tirx.Buffer,
    place: Callable[[tirx.Expr | int], tirx.Expr],
    count: tirx.Expr | int,
) -> Statement:
    """Transpose `count` rows, each of panels.depth numbers from place(row), into the columns of panels.

    The columns behind the last are copies of it, up to a whole vector.
    """
    vectors = panels.padded // panels.lanes
    whole = count // panels.lanes if isinstance(count, int) else 0

    def plain(vector: tirx.Expr | int) -> Statement:
        return _transpose(panels, source, target, vector, lambda lane: place(vector * panels.lanes + lane))

    def clamped(vector: tirx.Expr | int) -> Statement:
        def row(lane: tirx.Expr | int) -> tirx.Expr:
            return place(tirx.min(vector * panels.lanes + lane, count - 1))

        return _transpose(panels, source, target, vector, row)

    statements = [loop(whole, plain)] if whole else []
    if vectors > whole:
        statements.append(loop(vectors - whole, lambda vector: clamped(vector + whole)))
    return sequence(statements)


def _transpose(
    panels: Panels,
    source: tirx.Buffer,
    target: tirx.Buffer,
    vector: tirx.Expr | int,
    row: Callable[[tirx.Expr | int], tirx.Expr],
) -> Statement:
    """One vector of columns: squares of lanes * lanes in registers, then what is left one by one."""
    lanes, width, base = panels.lanes, panels.width, panels.column(vector)
    whole = panels.depth // lanes

    def square(block: tirx.Expr | int) -> Statement:
        start = block * lanes
        statements, turned = transposed([load(source, row(lane) + start, lanes) for lane in range(lanes)])
        stores = [
            store(target, base + (start + step) * width, values, lanes) for step, values in enumerate(turned)
        ]
        return sequence([*statements, *stores])

    def single(step: tirx.Expr | int) -> Statement:
        depth = step + whole * lanes
        return loop(
            lanes, lambda lane: store(target, base + depth * width + lane, load(source, row(lane) + depth))
        )

    statements = [loop(whole, square)] if whole else []
    if panels.depth > whole * lanes:
        statements.append(loop(panels.depth - whole * lanes, single))
    return sequence(statements)


def write_edge(
    target: tirx.Buffer, place: tirx.Expr | int, value: tirx.Expr, *, edge: tirx.Buffer, room: int, lanes: int
) -> Statement:
    """Write the first `room` numbers of a vector, by way of the buffer `edge` of one vector."""
    return sequence(
        [
            store(edge, 0, value, lanes),
            *(store(target, place + at, load(edge, at, part), part) for at, part in pieces(room, lanes)),
        ]
    )
