"""Computing a stage where it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.compiler.loops.common import can_inline
from modeldyno.compiler.subexpressions.share import copies_nothing

if TYPE_CHECKING:
    from tvm import s_tir
    from tvm.s_tir.schedule import SBlockRV


def inline_where_possible(sch: s_tir.Schedule, block: SBlockRV) -> bool:
    """Compute the block where it is read; False, and nothing is changed, when it can't be.

    What would be computed more than once stays: such copies multiply along a chain.
    """
    if can_inline(sch, block) and copies_nothing(sch, block):
        sch.compute_inline(block)
        return True
    return False
