"""Zero padding without a copy of the image, and without its multiplications.

A tap of a filter that falls on the padding adds nothing. So the padded image is never made: taps above and
below the image are skipped, and taps beside it are summed over those rows of the tile (pixels of a line)
only that lie inside. Which rows these are is known for each place of a tile but for one number, so that each
case becomes a loop of its own, its rows unrolled as ever. At 7x7 pixels a 3x3 filter saves 18 % of its work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tvm
from tvm import s_tir, tirx

from modeldyno.compiler.loops.common import extent, iteration_kinds
from modeldyno.compiler.loops.loops import (
    Statement,
    at_start,
    inner_loops,
    loop_with,
    realizes,
    rewrite,
    with_body,
)
from modeldyno.compiler.loops.marks import PADDED, ROWS, TAPS

if TYPE_CHECKING:
    from tvm.s_tir.schedule import SBlockRV

MOST_CASES = 6  # each is a copy of the inner loops
_ASKED = tvm.ir.Op.get("prim.if_then_else")
_HEIGHT, _WIDTH, _TAP_Y, _TAP_X = 1, 2, 4, 5  # axes of a convolution's block


@dataclass(frozen=True)
class _Line:
    """One direction of a padded convolution: output `o` under tap `t` reads o * step + t * gap - before."""

    step: int
    gap: int
    before: int
    size: int

    def place(self, output: tirx.Expr | int, tap: tirx.Expr | int) -> tirx.Expr | int:
        return output * self.step + tap * self.gap - self.before


@dataclass(frozen=True)
class _Case:
    """Rows of a tile from `first`, `count` of them, lie inside, where its first reads `low` to `high`."""

    first: int
    count: int
    low: int
    high: int


def needless_padding(
    sch: s_tir.Schedule, main: SBlockRV, padding: list[SBlockRV], tile_rows: int
) -> list[int] | None:
    """Tell whether a convolution can do without the padding stage before it.

    Gives the facts of the image for BORDERS, or None where the padding stays.
    """
    annotations = sch.get(main).annotations
    if PADDED not in annotations or len(padding) != 1:
        return None
    numbers = [int(number) for number in annotations[PADDED]]
    _, across, walked = _lines(numbers)
    if len(iteration_kinds(sch, main)) != _TAP_X + 2:
        return None
    taps = extent(sch, sch.get_loops(main)[_TAP_X])
    cases = _cases(across, taps, tile_rows, walked)
    return numbers if 0 < len(cases) <= MOST_CASES else None


def skip_borders(loop: tirx.For, facts: list[int]) -> Statement:
    """Sum over the taps and rows that lie inside the image, in each loop below that carries TAPS."""
    tile_rows, *numbers = facts
    down, across, walked = _lines(numbers)

    def inside(taps: tirx.For, _: list[int]) -> Statement:
        realize = realizes(taps.body)[-1]
        axes = at_start(realize.iter_values, inner_loops(taps.body))
        cases = _cases(across, int(taps.extent), tile_rows, walked)
        body = _branches(taps.body, cases, across.place(axes[_WIDTH], axes[_TAP_X]), tile_rows)
        line = down.place(axes[_HEIGHT], axes[_TAP_Y])
        return tirx.IfThenElse(tirx.all(line >= 0, line < down.size), body, None)

    return rewrite(rewrite(loop.body, {TAPS: inside}), {ROWS: lambda rows, _: rows.body})


def _lines(numbers: list[int]) -> tuple[_Line, _Line, int]:
    *each, walked = numbers
    return _Line(*each[0::2]), _Line(*each[1::2]), walked


def _cases(line: _Line, taps: int, rows: int, walked: int) -> list[_Case]:
    """All cases with a row inside that occur, the most frequent first."""
    starts = [min(start, walked - rows) for start in range(0, walked, rows)]
    places = [line.place(start, tap) for start in starts for tap in range(taps)]
    found: dict[tuple[int, int], list[int]] = {}
    for place in places:
        inside = [row for row in range(rows) if 0 <= place + row * line.step < line.size]
        if inside:
            found.setdefault((inside[0], len(inside)), []).append(place)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [_Case(*key, min(low), max(low)) for key, low in ordered]


def _branches(body: Statement, cases: list[_Case], place: tirx.Expr, rows: int) -> Statement:
    """A copy of the body for each case; where the place is in none of them, nothing."""
    result: Statement | None = None
    for case in reversed(cases):
        here = tirx.all(place >= case.low, place <= case.high)
        copy = _narrowed(body, case, whole=case.count == rows)
        result = tirx.IfThenElse(here, copy, result)
    return result


def _narrowed(body: Statement, case: _Case, *, whole: bool) -> Statement:
    """Let the loop over rows go over those of a case, and read without asking what lies inside."""

    def change(node: Statement) -> Statement:
        if isinstance(node, tirx.SeqStmt):
            return tirx.SeqStmt([change(each) for each in node.seq])
        if isinstance(node, tirx.IfThenElse):
            return node  # prefetches
        if isinstance(node, s_tir.SBlockRealize):
            block = with_body(node.block, _read_inside(node.block.body))
            return s_tir.SBlockRealize(node.iter_values, node.predicate, block)
        if not isinstance(node, tirx.For):
            return node
        if ROWS not in node.annotations or whole:
            return loop_with(node, change(node.body))
        return tirx.For(
            node.loop_var,
            tirx.const(case.first, node.loop_var.ty.dtype),
            tirx.const(case.count, node.loop_var.ty.dtype),
            node.kind,
            change(node.body),
            node.thread_binding,
            node.annotations,
            node.step,
        )

    return change(body)


def _read_inside(store: Statement) -> Statement:
    """Take `if_then_else(inside, pixel, 0)` off the pixel in sum + pixel * weight."""
    if not isinstance(store, tirx.BufferStore):
        raise TypeError(f"a sum is one store, not {type(store).__name__}")
    return tirx.BufferStore(store.buffer, _unasked(store.value), store.indices)


def _unasked(value: tirx.Expr) -> tirx.Expr:
    if isinstance(value, tirx.Add | tirx.Mul):
        return type(value)(_unasked(value.a), _unasked(value.b))
    if isinstance(value, tvm.ir.Call) and value.op.same_as(_ASKED):
        return value.args[1]
    return value
