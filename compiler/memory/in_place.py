"""Concatenation without copies: whoever computes a part writes it where the whole is to stand.

The kernels that write or read a part get the whole as their argument, the place of the part in it added to
every index. The concatenation itself is then no kernel any more. Where one of its parts is used by something
else than kernels whose loops are TVM's (by a program with loops of its own, as the model's result), all stays
as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import relax, tirx
from tvm.ir.expr import TensorLoad, TensorRegion
from tvm_ffi import structural_map, structural_walk

from modeldyno.compiler.graph.rewrite import op_name
from modeldyno.compiler.loops.marks import CONCAT, SCHEDULED

_ALLOCATION = "relax.builtin.alloc_tensor"


@dataclass(frozen=True)
class InPlace:
    """A module whose parts are written in place; from the names of its new kernels to those of the old."""

    module: tvm.IRModule
    renamed: dict[str, str] = field(default_factory=dict)


def write_in_place(mod: tvm.IRModule) -> InPlace:
    """Do away with the concatenations of a module whose `main` calls kernels with their outputs.

    That is what TVM's CallTIRRewrite makes: an allocation for each tensor, then the call that fills it.
    """
    main = mod["main"]
    if not isinstance(main.body, relax.SeqExpr):
        return InPlace(mod)
    calls = _Calls(mod, [binding for block in main.body.blocks for binding in block.bindings], main.body.body)
    for number in range(len(calls.bindings)):
        calls.join(number)
    if not calls.gone:
        return InPlace(mod)
    bindings = calls.rewritten()
    module = calls.module(bindings)
    body = relax.SeqExpr([relax.BindingBlock(bindings)], main.body.body)
    module["main"] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    return InPlace(module, calls.renamed)


@dataclass(frozen=True)
class _Place:
    """Where a tensor stands: in another one, from these indices on."""

    whole: relax.Var
    offsets: tuple[int, ...]


class _Calls:
    """The bindings of `main`, and what is known of the tensors that they allocate."""

    def __init__(self, mod: tvm.IRModule, bindings: list[relax.VarBinding], result: relax.Expr) -> None:
        self.mod, self.builder, self.bindings = mod, relax.BlockBuilder(mod), bindings
        self.gone: set[int] = set()  # concatenations that are no kernels any more
        self.renamed: dict[str, str] = {}
        self._known: dict[
            tuple[relax.GlobalVar, int], bool
        ] = {}  # whether a program's argument can stand elsewhere
        self._made: dict[Any, Any] = {}  # from what a new kernel is made of to its name
        self._places: dict[relax.Var, _Place] = {}  # of allocated variables
        self._root: dict[relax.Var, relax.Var] = {}  # variable → the allocated one that it is another name of
        self._used: dict[relax.Var, list[int]] = {}  # allocated variable → bindings that use it
        for number, binding in enumerate(bindings):
            self._note(number, binding)
        self._count(result, len(bindings))

    def _note(self, number: int, binding: relax.VarBinding) -> None:
        value = binding.value
        if op_name(value) == _ALLOCATION:
            self._root[binding.var] = binding.var
        elif isinstance(value, relax.Var) and value in self._root:
            self._root[binding.var] = self._root[value]
        else:
            self._count(value, number)

    def _count(self, expr: relax.Expr, number: int) -> None:
        def visit(node: relax.Expr) -> None:
            if isinstance(node, relax.Var) and node in self._root:
                self._used.setdefault(self._root[node], []).append(number)

        relax.analysis.post_order_visit(expr, visit)

    def join(self, number: int) -> None:
        """Let the parts of a concatenation stand in the whole, where that can be done with all of them."""
        func = self._kernel(number)
        if func is None or CONCAT not in (func.attrs or {}):
            return
        axis, args = int(func.attrs[CONCAT]), self.bindings[number].value.args
        if not all(isinstance(arg, relax.Var) and arg in self._root for arg in args):
            return
        *parts, whole = [self._root[arg] for arg in args]
        if len(set(parts)) < len(parts):
            return
        if not all(self._is_movable(part, number) for part in parts):
            return
        start = [0] * len(whole.ty.shape)
        for part in parts:
            self._places[part] = _Place(whole, tuple(start))
            start[axis] += int(part.ty.shape[axis])
        self.gone.add(number)

    def _kernel(self, number: int) -> tirx.PrimFunc | None:
        """Give the tensor program that a binding calls, if it is one whose loops are TVM's."""
        call = self.bindings[number].value if number < len(self.bindings) else None
        if not isinstance(call, relax.Call) or not isinstance(call.op, relax.GlobalVar):
            return None
        func = self.mod[call.op]
        return func if isinstance(func, tirx.PrimFunc) and SCHEDULED not in (func.attrs or {}) else None

    def _is_movable(self, part: relax.Var, reader: int) -> bool:
        """Whether all who use a part can find it elsewhere."""
        users = [number for number in self._used.get(part, []) if number not in self.gone]
        others = [number for number in users if number != reader]
        if part in self._places or len(users) != len(others) + 1:
            return False
        return all(self._can_move(number, part) for number in others)

    def _can_move(self, number: int, part: relax.Var) -> bool:
        func = self._kernel(number)
        args = self.bindings[number].value.args if func is not None else []
        for index in (index for index, arg in enumerate(args) if self._is_in(arg, (part,))):
            key = (self.bindings[number].value.op, index)
            if key not in self._known:
                self._known[key] = at_place(func, index) is not None
            if not self._known[key]:
                return False
        return func is not None

    def _place(self, root: relax.Var) -> _Place:
        """Follow the places of parts within parts to the outermost whole."""
        offsets = [0] * len(root.ty.shape)
        while root in self._places:
            place = self._places[root]
            offsets = [one + other for one, other in zip(offsets, place.offsets, strict=True)]
            root = place.whole
        return _Place(root, tuple(offsets))

    def _moved(self, number: int, places: Mapping[relax.Var, _Place]) -> tirx.PrimFunc:
        """Give a binding's program for tensors in these places."""
        func = self._kernel(number)
        for index, arg in enumerate(self.bindings[number].value.args):
            if self._is_in(arg, places):
                place = places[self._root[arg]]
                func = at_place(func, index, [int(size) for size in place.whole.ty.shape], place.offsets)
        return func

    def rewritten(self) -> list[relax.VarBinding]:
        """All bindings that are left, each whole allocated before its first part is written."""
        wholes = {self._place(part).whole for part in self._places}
        allocations = {
            binding.var: binding for binding in self.bindings if op_name(binding.value) == _ALLOCATION
        }
        result: list[relax.VarBinding] = []
        waiting = dict.fromkeys(wholes)
        for number, binding in enumerate(self.bindings):
            if number in self.gone or binding.var in self._places or binding.var in wholes:
                continue
            for root in self._roots(binding.value):
                whole = self._place(root).whole
                if whole in waiting:
                    del waiting[whole]
                    result.append(allocations[whole])
            result.append(self._in_place(number))
        return result

    def _roots(self, value: relax.Expr) -> list[relax.Var]:
        args = [value] if isinstance(value, relax.Var) else getattr(value, "args", [])
        return [self._root[arg] for arg in args if isinstance(arg, relax.Var) and arg in self._root]

    def _in_place(self, number: int) -> relax.VarBinding:
        binding = self.bindings[number]
        value = binding.value
        if isinstance(value, relax.Var) and self._root.get(value) in self._places:
            # Another name of a part: nobody asks for it any more.
            return relax.VarBinding(binding.var, self._place(self._root[value]).whole)
        places = {root: self._place(root) for root in self._roots(value) if root in self._places}
        if not places:
            return binding
        args = [self._argument(arg, places) for arg in value.args]
        spots = tuple(
            (index, places[self._root[arg]])
            for index, arg in enumerate(value.args)
            if self._is_in(arg, places)
        )
        key = (value.op, tuple((i, tuple(map(int, p.whole.ty.shape)), p.offsets) for i, p in spots))
        if key not in self._made:
            name = "_".join([value.op.name_hint, "at", *(str(sum(place.offsets)) for _, place in spots)])
            self._made[key] = self.builder.add_func(self._moved(number, places), name)
            self.renamed[self._made[key].name_hint] = value.op.name_hint
        return relax.VarBinding(binding.var, relax.Call(self._made[key], args, value.attrs, value.ty_args))

    def _argument(self, arg: relax.Expr, places: Mapping[relax.Var, _Place]) -> relax.Expr:
        return places[self._root[arg]].whole if self._is_in(arg, places) else arg

    def _is_in(self, arg: relax.Expr, places: Collection[relax.Var]) -> bool:
        return isinstance(arg, relax.Var) and self._root.get(arg) in places

    def module(self, bindings: list[relax.VarBinding]) -> tvm.IRModule:
        """Give the module with the new kernels, and without those that nothing calls any more."""
        found = self.builder.get()
        before, after = (
            {each.value.op for each in some if isinstance(each.value, relax.Call)}
            for some in (self.bindings, bindings)
        )
        kept = {name: func for name, func in found.functions_items() if name not in before - after}
        return tvm.IRModule(kept, attrs=found.attrs)


def at_place(
    func: tirx.PrimFunc, number: int, shape: list[int] | None = None, offsets: tuple[int, ...] | None = None
) -> tirx.PrimFunc | None:
    """Let a program's parameter be a tensor of `shape`, in which what it was stands at `offsets`.

    None where that can't be done: where the program gets at the tensor in another way than by its indices.
    """
    old = func.params[number]
    sizes = [int(size) for size in old.ty.shape]
    whole = tirx.decl_buffer(shape or sizes, old.ty.dtype, old.name)

    def moved(indices: Sequence[tirx.Expr]) -> list[tirx.Expr]:
        return [index + offset if offset else index for index, offset in _pairs(indices, offsets)]

    def load(node: TensorLoad) -> TensorLoad:
        return tirx.BufferLoad(whole, moved(node.indices)) if node.source.same_as(old) else node

    def store(node: tirx.BufferStore) -> tirx.BufferStore:
        if not node.buffer.same_as(old):
            return node
        return tirx.BufferStore(whole, node.value, moved(node.indices))

    def region(node: TensorRegion) -> TensorRegion:
        if not node.source.same_as(old):
            return node
        ranges = [
            tvm.ir.Range.from_min_extent(each.min + offset, each.extent)
            for each, offset in _pairs(node.region, offsets)
        ]
        return tirx.BufferRegion(whole, ranges)

    mapped = [(TensorLoad, load), (tirx.BufferStore, store), (TensorRegion, region)]
    body = structural_map(func.body, mapped)
    left: list[relax.Var] = []
    structural_walk(body, (relax.Var, lambda var: left.append(var) if var.same_as(old) else None))
    if left:
        return None
    params = [*func.params[:number], whole, *func.params[number + 1 :]]
    return tirx.PrimFunc(params, body, func.ret_type, func.attrs)


def _pairs(indices: Sequence[tirx.Expr], offsets: tuple[int, ...] | None) -> list[tuple[tirx.Expr, int]]:
    return list(zip(indices, offsets or [0] * len(indices), strict=True))
