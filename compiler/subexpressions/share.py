"""Element-wise stages computed where they are read, each value once.

A stage that is put in the place of each read of it is copied as often as it is read: a chain of functions
that each read their argument several times (tanh, Mish) grows by that factor with every link. Here the one
stage that reads others at its own place takes them in as values with names (`Let`), however often it reads
them. The size of what comes out is the sum of the sizes of the stages. What can't be taken in is copied into
its reader only where that adds nothing (`copies_nothing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tvm import s_tir, tirx
from tvm.ir import Call
from tvm.ir.expr import TensorLoad
from tvm.s_tir.analysis import get_sblock_access_region
from tvm_ffi import structural_map, structural_walk

from modeldyno.compiler.loops.loops import loop_with, own_variables, sequence, with_body
from modeldyno.compiler.subexpressions.formulas import Formulas, branches, has_formulas, is_formula
from modeldyno.compiler.subexpressions.values import ASKED, Named, has_names, name_values, named

if TYPE_CHECKING:
    from tvm.s_tir.schedule import SBlockRV

_SPATIAL = 0


@dataclass(frozen=True)
class _Read:
    """A tensor's element in a stage's expression; `inside`: in the index of another read."""

    tensor: tirx.Buffer
    indices: tuple[tirx.Expr, ...]
    inside: bool


@dataclass
class _Stage:
    """Loops around one block, what the block reads, and the stages that it took in, first ones first."""

    nest: tirx.Stmt
    block: s_tir.SBlock
    reads: list[_Read]
    taken: list[_Stage] = field(default_factory=list)

    @property
    def written(self) -> tirx.Buffer:
        return self.block.writes[0].source

    @property
    def axes(self) -> list[tirx.Var]:
        return [axis.var for axis in self.block.iter_vars]

    @property
    def sizes(self) -> list[int | None]:
        return [_size(axis.dom.extent) for axis in self.block.iter_vars]

    @property
    def is_element_wise(self) -> bool:
        """Whether the stage computes each of its elements once, by one expression."""
        spatial = all(int(axis.iter_type) == _SPATIAL for axis in self.block.iter_vars)
        return spatial and self.block.init is None and isinstance(self.block.body, tirx.BufferStore)

    def is_plain(self, made: set[tirx.Buffer]) -> bool:
        """Whether the stage has no part in a kernel's own order of stages: it reads at its place, or moves.

        `made` are the tensors that the function makes for itself; others may be read anywhere.
        """
        if (
            self.block.annotations
            or not self.is_element_wise
            or not self.is_in_place(self.block.body.indices)
        ):
            return False
        in_place = all(self.is_in_place(read.indices) for read in self.reads if read.tensor in made)
        return in_place or _is_move(self.block.body.value)

    def is_inside(self, load: TensorLoad) -> bool:
        """Whether a read is inside of its tensor at every place of the stage."""
        sizes = dict(zip(self.axes, self.sizes, strict=True))
        pairs = zip(load.indices, load.source.shape, strict=True)
        return all(_is_below(_size(index), sizes.get(index), _size(size)) for index, size in pairs)

    def is_in_place(self, indices: Sequence[tirx.Expr]) -> bool:
        """Whether these indices are the block's own place."""
        if len(indices) != len(self.axes):
            return False
        pairs = zip(indices, self.axes, self.sizes, strict=True)
        return all(index.same_as(axis) or (size == 1 and _size(index) == 0) for index, axis, size in pairs)


def share_stages(func: tirx.PrimFunc, formulas: Formulas) -> tirx.PrimFunc:
    """Let stages that read others at their own place compute them, each value once; give the function.

    A stage is taken in where one stage reads it, by way of others that were taken in too, and where it is no
    result. Expressions with names become calls of `formulas`.
    """
    root = func.body.block
    nests = list(root.body.seq) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    stages = [_stage(nest) for nest in nests]
    if not all(stage is not None and stage.block.writes for stage in stages):
        return func
    left = _take_in([stage for stage in stages if stage is not None], set(root.alloc_buffers))
    gone = {each.written for stage in left for each in stage.taken}
    kept = [buffer for buffer in root.alloc_buffers if buffer not in gone]
    body = sequence([_joined(stage, formulas) if stage.is_element_wise else stage.nest for stage in left])
    outer = s_tir.SBlock(
        root.iter_vars,
        root.reads,
        root.writes,
        root.name_hint,
        body,
        root.init,
        kept,
        annotations=root.annotations,
    )
    return func.with_body(s_tir.SBlockRealize([], True, outer))


def copies_nothing(sch: s_tir.Schedule, block: SBlockRV) -> bool:
    """Whether computing a block where it is read makes no second copy of its work.

    It only moves numbers; or it is read at one place of one expression. That place is not an argument of a
    function, of which TVM may write out several copies. Nor is it a branch of a choice, if the work is a
    formula: its names could not be taken out of the branch.
    """
    node = sch.get(block)
    if _is_move(node.body.value):
        return True
    written = node.writes[0].source
    readers = [stage for stage in (_stage(sch.get(reader)) for reader in sch.get_consumers(block)) if stage]
    reads = [read for stage in readers for read in stage.reads if read.tensor.same_as(written)]
    choices = has_formulas(node.body.value)
    return len(reads) == 1 and not any(_reads_below(stage.block.body, written, choices) for stage in readers)


def with_own_names(func: tirx.PrimFunc) -> tirx.PrimFunc:
    """Give the values with names in copies of an expression names of their own."""
    return own_variables(func) if has_names(func.body) else func


def _stage(nest: tirx.Stmt) -> _Stage | None:
    node = nest
    while isinstance(node, tirx.For):
        node = node.body
    if isinstance(node, s_tir.SBlockRealize):
        node = node.block
    if not isinstance(node, s_tir.SBlock):
        return None
    return _Stage(nest, node, list(_reads(node)))


def _reads(block: s_tir.SBlock) -> Iterator[_Read]:
    found: list[TensorLoad] = []
    inside: list[TensorLoad] = []

    def note(load: TensorLoad) -> None:
        found.append(load)
        for index in load.indices:
            structural_walk(index, (TensorLoad, inside.append))

    structural_walk(block.body, (TensorLoad, note))
    if block.init is not None:
        structural_walk(block.init, (TensorLoad, note))
    for load in found:
        yield _Read(load.source, tuple(load.indices), _is_one_of(load, inside))


def _take_in(stages: list[_Stage], made: set[tirx.Buffer]) -> list[_Stage]:
    """Go from the last stage to the first; give those that no other took in."""
    reading: dict[tirx.Buffer, set[int]] = {}
    for place, stage in enumerate(stages):
        for read in stage.reads:
            reading.setdefault(read.tensor, set()).add(place)
    takers = list(range(len(stages)))  # by a stage's number the number of what it became a part of
    for number in reversed(range(len(stages) - 1)):
        stage = stages[number]
        places = reading.get(stage.written, set()) if stage.written in made else set()
        targets = {takers[place] for place in places}
        readers = [stages[place] for place in places]
        if len(targets) == 1 and number not in targets and stage.is_plain(made) and _fits(stage, readers):
            takers[number] = targets.pop()
            stages[takers[number]].taken.insert(0, stage)
    return [stage for number, stage in enumerate(stages) if takers[number] == number]


def _fits(stage: _Stage, readers: list[_Stage]) -> bool:
    """Whether all readers read a stage at their own place, which is every place of the stage."""
    return all(
        reader.is_element_wise
        and reader.sizes == stage.sizes
        and None not in stage.sizes
        and all(
            reader.is_in_place(read.indices) and not read.inside
            for read in reader.reads
            if read.tensor.same_as(stage.written)
        )
        for reader in readers
    )


def _joined(stage: _Stage, formulas: Formulas) -> tirx.Stmt:
    """The nest of a stage with a name for each value that it took in, or has several times."""
    reads: dict[tirx.Buffer, tirx.Expr] = {}
    values: list[Named] = []
    for each in stage.taken:
        here = dict(zip(each.axes, stage.axes, strict=True))
        own = name_values(_replaced(each.block.body.value, here, reads), stage.is_inside)
        values.append(named(own, each.block.name_hint))
        reads[each.written] = values[-1].read
    value = name_values(_replaced(stage.block.body.value, {}, reads), stage.is_inside)
    for known in reversed(values):
        value = known.within(value)
    value = formulas.outlined(value, stage.is_inside)
    store = tirx.BufferStore(stage.block.body.buffer, value, stage.block.body.indices)
    return _with_block(stage.nest, _with_regions(stage.block, store))


def _replaced(
    value: tirx.Expr, axes: dict[tirx.Var, tirx.Expr], reads: dict[tirx.Buffer, tirx.Expr]
) -> tirx.Expr:
    """Give an expression with other axes, and with what is known for reads of some tensors."""
    changes = [
        (TensorLoad, lambda load: reads.get(load.source, load)),
        (tirx.Var, lambda var: axes.get(var, var)),
    ]
    return structural_map(value, changes)


def _with_regions(block: s_tir.SBlock, store: tirx.BufferStore) -> s_tir.SBlock:
    tensors = {read: read for read in _loads_of(store)} | {store.buffer: store.buffer}
    reads, writes, _ = get_sblock_access_region(with_body(block, store), tensors)
    return s_tir.SBlock(block.iter_vars, reads, writes, block.name_hint, store, annotations=block.annotations)


def _loads_of(node: tirx.Expr | tirx.Stmt) -> list[tirx.Buffer]:
    """Give the tensors that are read in a statement, one for each read."""
    found: list[tirx.Buffer] = []
    structural_walk(node, (TensorLoad, lambda load: found.append(load.source)))
    return found


def _with_block(node: tirx.Stmt, block: s_tir.SBlock) -> tirx.Stmt:
    if isinstance(node, tirx.For):
        return loop_with(node, _with_block(node.body, block))
    return s_tir.SBlockRealize(node.iter_values, node.predicate, block)


def _is_move(value: tirx.Expr) -> bool:
    """Whether an expression is numbers read from elsewhere, or constants, chosen by place alone."""
    if isinstance(value, Call) and value.op.name == ASKED:
        return all(_is_move(arg) for arg in value.args[1:])
    return isinstance(value, TensorLoad | tirx.IntImm | tirx.FloatImm)


def _reads_below(body: tirx.Stmt, tensor: tirx.Buffer, choices: bool) -> bool:
    """Whether a tensor is read in a function's argument, or, with `choices`, in what may not be computed."""
    found: list[tirx.Buffer] = []

    def note(node: tirx.Expr) -> None:
        if choices if branches(node) else not is_formula(node):
            found.extend(_loads_of(node))

    structural_walk(body, ((Call, tirx.Select), note))
    return tensor in found


def _is_one_of(node: TensorLoad, others: list[TensorLoad]) -> bool:
    return any(node.same_as(other) for other in others)


def _is_below(place: int | None, places: int | None, size: int | None) -> bool:
    """Whether a fixed place, or so many places from the first, are below a size."""
    if size is None or place is places is None:
        return False
    return 0 <= place < size if place is not None else places is not None and places <= size


def _size(value: tirx.Expr) -> int | None:
    return int(value) if isinstance(value, int | tirx.IntImm) else None
