"""Ragged rows without padding: the last tile is moved back until it ends with the last row.

Some rows are then computed twice, with the same result; nothing is padded, cut off or checked.
"""

from __future__ import annotations

import tvm
from tvm import s_tir, tirx

from modeldyno.compiler.loops.loops import Statement, at_start, inner_loops, loop_with

_ROW, _COLUMN = -2, -1


def overlap_rows(loop: tirx.For, facts: list[int]) -> Statement:
    """Move the last tile of rows back, in each block that computes a tile."""
    rows, size, columns = facts
    inner = inner_loops(loop.body)
    analyzer = tvm.sym.Analyzer()

    def moved(node: Statement) -> Statement:
        if isinstance(node, tirx.SeqStmt):
            return tirx.SeqStmt([moved(each) for each in node.seq])
        if isinstance(node, tirx.For):
            return loop_with(node, moved(node.body))
        if not isinstance(node, s_tir.SBlockRealize):
            return node
        values = list(node.iter_values)
        spatial = [int(axis.iter_type) for axis in node.block.iter_vars].count(0)
        place = spatial + _ROW
        first = at_start([values[place]], inner)[0]
        within = analyzer.simplify(values[place] - first)
        # The rows walked may be those of one band of several; else the block has less than a tile more.
        several = int(node.block.iter_vars[place].dom.extent) >= 2 * size
        start = tirx.floordiv(first, size) * size if several else 0
        values[place] = start + tirx.min(first - start, size - rows) + within
        column = values[spatial + _COLUMN]
        checked = columns and int(node.block.writes[0].source.shape[-1]) == columns
        return s_tir.SBlockRealize(values, column < columns if checked else True, node.block)

    return moved(loop.body)
