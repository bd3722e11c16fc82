"""Steps that several schedule rules take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvm import s_tir, tirx

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir.schedule import LoopRV, SBlockRV

# Below this many inner steps a loop is not worth waking a thread for (a launch costs several microseconds).
PARALLEL_STEPS = 16_384
_SPATIAL, _REDUCTION = 0, 2


def root_blocks(sch: s_tir.Schedule) -> list[SBlockRV]:
    """Blocks of the function, in order, without the root."""
    return list(sch.get_child_blocks(sch.get_sblock("root")))


def marked_block(sch: s_tir.Schedule, mark: str) -> SBlockRV | None:
    """Give the one block of the function that carries an annotation; None where none does, or several do."""
    marked = [block for block in root_blocks(sch) if mark in sch.get(block).annotations]
    return marked[0] if len(marked) == 1 else None


def iteration_kinds(sch: s_tir.Schedule, block: SBlockRV) -> list[int]:
    """Kind of each of the block's axes: 0 spatial, 2 reduction."""
    return [int(axis.iter_type) for axis in sch.get(block).iter_vars]


def is_spatial(sch: s_tir.Schedule, block: SBlockRV) -> bool:
    """Whether the block computes each of its elements once, without a sum."""
    return all(kind == _SPATIAL for kind in iteration_kinds(sch, block))


def is_reduction(sch: s_tir.Schedule, block: SBlockRV) -> bool:
    """Whether the block's axes are spatial ones, then at least one reduction, and it starts from an init."""
    kinds = iteration_kinds(sch, block)
    count = kinds.count(_REDUCTION)
    return (
        bool(count)
        and kinds == [_SPATIAL] * (len(kinds) - count) + [_REDUCTION] * count
        and bool(sch.get(block).init)
    )


def extent(sch: s_tir.Schedule, loop: LoopRV) -> int:
    """Fixed trip count of a loop."""
    return int(sch.get(loop).extent)


def is_schedulable(func: tirx.PrimFunc) -> bool:
    """Whether a program is loops around blocks that say what they read and write, as the rules want it.

    A scatter or a sort may be one block of its own loops, with nothing around it.
    """
    return isinstance(func.body, s_tir.SBlockRealize) and func.body.block.name_hint == "root"


def can_inline(sch: s_tir.Schedule, block: SBlockRV) -> bool:
    """Whether TVM can compute the block where it is read: one plain store to a tensor of the function's own.

    A result of the function has to be written, and so has what a block of unknown insides may read.
    """
    node = sch.get(block)
    if not isinstance(node.body, tirx.BufferStore) or node.init is not None or not is_spatial(sch, block):
        return False
    if not all(sch.get(each).writes for each in root_blocks(sch)):
        return False
    made = sch.get(sch.get_sblock("root")).alloc_buffers
    places = [index for index in node.body.indices if isinstance(index, tirx.Var)]
    axes = [axis.var for axis in node.iter_vars if not _is_one(axis.dom.extent)]
    return any(each.same_as(node.body.buffer) for each in made) and all(
        any(axis.same_as(place) for place in places) for axis in axes
    )


def _is_one(size: tirx.Expr) -> bool:
    return isinstance(size, tirx.IntImm) and int(size) == 1


def spread(sch: s_tir.Schedule, loops: list[LoopRV], *, steps_inside: int) -> LoopRV:
    """Fuse `loops` and share them among the cores, when there is work enough to share."""
    fused = sch.fuse(*loops) if len(loops) > 1 else loops[0]
    trips = extent(sch, fused)
    if trips > 1 and trips * steps_inside >= PARALLEL_STEPS:
        sch.parallel(fused)
    return fused


def schedule_spatial(sch: s_tir.Schedule, block: SBlockRV, lanes: int) -> None:
    """Element-wise work on its own: vectors inside, the rest shared among the cores."""
    loops = sch.get_loops(block)
    if not loops:
        return
    fused = sch.fuse(*loops) if _is_flat(sch, block) and len(loops) > 1 else None
    column = fused if fused is not None else loops[-1]
    size = extent(sch, column)
    if size % lanes == 0:
        outer, lane = sch.split(column, [None, lanes])
        sch.vectorize(lane)
        heads = [outer] if fused is not None else [*loops[:-1], outer]
        steps = lanes
    else:
        heads, steps = ([fused], 1) if fused is not None else (loops[:-1] or [column], size)
    _spread_chunks(sch, heads, steps)


def _spread_chunks(sch: s_tir.Schedule, heads: list[LoopRV], steps: int) -> None:
    fused = sch.fuse(*heads) if len(heads) > 1 else heads[0]
    trips = extent(sch, fused)
    if trips * steps < PARALLEL_STEPS:
        return
    # A chunk of 64 trips keeps the loop inside a thread long enough for the compiler to see a plain loop.
    outer, _ = sch.split(fused, [None, 64])
    sch.parallel(outer)


def _is_flat(sch: s_tir.Schedule, block: SBlockRV) -> bool:
    """Whether all is read and written at the block's own axes, so that its loops are one long loop."""
    node = sch.get(block)
    axes = [axis.var for axis in node.iter_vars]
    return all(reads_axes(region, axes) for region in [*node.reads, *node.writes])


def reads_axes(region: tvm.ir.TensorRegion, axes: list[tirx.Var]) -> bool:
    """Whether a region is the one element at the block's own axes, in their order."""
    ranges = list(region.region)
    if len(ranges) != len(axes):
        return False
    return all(rng.min.same_as(axis) for rng, axis in zip(ranges, axes, strict=True))


def new_schedule(func: tirx.PrimFunc) -> s_tir.Schedule:
    """Schedule over one function."""
    return s_tir.Schedule(func)
