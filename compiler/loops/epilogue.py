"""The element-wise work behind a sum (bias, activation, residual), computed where the sums lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modeldyno.compiler.loops.common import can_inline, is_spatial, reads_axes, root_blocks

if TYPE_CHECKING:
    from tvm import s_tir, tirx
    from tvm.s_tir.schedule import SBlockRV


@dataclass(frozen=True)
class Tail:
    """Blocks behind `main`: `chain` can be one block on its sums, `rest` stay stages of their own."""

    main: SBlockRV
    chain: tuple[SBlockRV, ...]
    rest: tuple[SBlockRV, ...]


def find_tail(sch: s_tir.Schedule, main: SBlockRV, before: list[SBlockRV]) -> Tail | None:
    """Find what follows `main` element by element; changes nothing. `before` are blocks in front of it.

    None when a block behind the chain (a padding, a transpose) reads something else of the chain than its
    end, or a part of the chain is a result of the function: it can't stay in registers then.
    """
    kept = {sch.get(block).name_hint for block in (main, *before)}
    followers = [block for block in root_blocks(sch) if sch.get(block).name_hint not in kept]
    written = [sch.get(main).writes[0].source]
    chain: list[SBlockRV] = []
    rest: list[SBlockRV] = []
    for block in followers:
        if not rest and _reads_in_place(sch, block, written):
            chain.append(block)
            written.append(sch.get(block).writes[0].source)
        else:
            rest.append(block)
    if chain and any(_reads(sch, block, source) for block in rest for source in written[:-1]):
        return None
    if not all(can_inline(sch, block) for block in chain[:-1]):
        return None
    return Tail(main, tuple(chain), tuple(rest))


def form_tail(sch: s_tir.Schedule, found: Tail) -> SBlockRV:
    """Make one block of the chain, which reads the sums where they lie; give it."""
    if not found.chain:
        return sch.cache_write(found.main, 0, "local")
    *inner, tail = found.chain
    for block in inner:
        sch.compute_inline(block)
    sch.set_scope(found.main, 0, "local")
    return tail


def _reads_in_place(sch: s_tir.Schedule, block: SBlockRV, chain: list[tirx.Buffer]) -> bool:
    """Whether an element-wise block reads the chain at its own place only, and reads it at all."""
    if not is_spatial(sch, block):
        return False
    axes = [axis.var for axis in sch.get(block).iter_vars]
    regions = [
        region for region in sch.get(block).reads if any(region.source.same_as(source) for source in chain)
    ]
    return bool(regions) and all(reads_axes(region, axes) for region in regions)


def _reads(sch: s_tir.Schedule, block: SBlockRV, source: tirx.Buffer) -> bool:
    return any(region.source.same_as(source) for region in sch.get(block).reads)
