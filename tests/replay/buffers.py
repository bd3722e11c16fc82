"""A check of a module whose memory is planned: no kernel reads a buffer that does not hold what it wants.

Several tensors lie in one storage, each for a time. The last one that was written into a storage holds it;
kernels and results may read that one alone. TVM's own check (`well_formed`) does not take such a module.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax, s_tir, tirx
from tvm.ir import Call, TensorLoad
from tvm_ffi import structural_walk

from modeldyno.compiler.graph.rewrite import op_name
from modeldyno.compiler.memory.planning import SETUP

_NEW, _VIEW = "relax.vm.alloc_tensor", "vm.builtin.reshape"


def check_buffers(module: tvm.IRModule) -> None:
    """Follow `main` call by call.

    Raises:
        ValueError: a buffer is read before it is written, or after another took its place.
    """
    main = module["main"]
    inputs, results = int(main.attrs["num_input"]), module[SETUP].body.body.fields
    state = _State(_bindings(module[SETUP]))
    handed = main.params[len(main.params) - len(results) :]
    state.tensors.update({param: state.tensors[made] for param, made in zip(handed, results, strict=True)})
    assert inputs <= len(main.params) - len(results)
    for binding in _bindings(main):
        state.take(module, binding)
    state.read(main.body.body, "the result")


def _bindings(function: Any) -> list[Any]:
    return [binding for block in function.body.blocks for binding in block.bindings]


class _State:
    """Which tensor each storage holds. Inputs and weights are in none."""

    def __init__(self, setup: list[Any]) -> None:
        self.tensors: dict[Any, tuple[Any, Any]] = {}  # variable → its storage, and what it was allocated as
        self.holds: dict[Any, Any] = {}  # storage → tensor
        for binding in setup:
            self._allocate(binding)

    def _allocate(self, binding: Any) -> bool:
        value = binding.value
        if op_name(value) == _NEW:
            self.tensors[binding.var] = value.args[0], binding.var
        elif isinstance(value, relax.Var) and value in self.tensors:
            self.tensors[binding.var] = self.tensors[value]
        elif isinstance(value, relax.Tuple):
            self.tensors |= {binding.var: (value, None)}
        elif isinstance(getattr(value, "op", None), relax.ExternFunc) and value.op.global_symbol == _VIEW:
            if value.args[0] in self.tensors:
                self.tensors[binding.var] = self.tensors[value.args[0]]
        else:
            return False
        return True

    def take(self, module: tvm.IRModule, binding: Any) -> None:
        """Follow one binding of `main`."""
        call = binding.value
        if self._allocate(binding) or not isinstance(getattr(call, "op", None), relax.GlobalVar):
            return
        kernel = call.op.name_hint
        reads, writes = effects(module[kernel])
        for number in reads:
            self.read(call.args[number], kernel)
        for number in writes:
            if call.args[number] in self.tensors:
                storage, tensor = self.tensors[call.args[number]]
                self.holds[storage] = tensor
        for number in reads:  # what was written must not lie over what was read with it
            self.read(call.args[number], kernel)

    def read(self, value: Any, reader: str) -> None:
        """Refuse a tensor that its storage does not hold."""
        if value not in self.tensors:
            return
        storage, tensor = self.tensors[value]
        if isinstance(storage, relax.Tuple):
            for each in storage.fields:
                self.read(each, reader)
        elif storage not in self.holds:
            raise ValueError(f"{reader} reads {value.name}, which nothing wrote")
        elif not self.holds[storage].same_as(tensor):
            raise ValueError(f"{reader} reads {value.name}, whose place {self.holds[storage].name} took")


def effects(func: Any) -> tuple[list[int], list[int]]:
    """Give the numbers of the parameters that a program reads before it writes them, and that it writes."""
    first: dict[int, str] = {}
    written: set[int] = set()
    places: list[Any] = []

    def number(tensor: Any) -> int:
        return next((at for at, param in enumerate(func.params) if param.same_as(tensor)), -1)

    def note(node: Any) -> None:
        if isinstance(node, s_tir.SBlock) and node.init is not None:
            structural_walk(node.init, (tirx.BufferStore, note), order="pre")
        elif isinstance(node, Call) and getattr(node.op, "name", "").endswith("address_of"):
            places.append(node.args[0])  # of a prefetch: nothing is read
        elif isinstance(node, TensorLoad) and not any(node.same_as(place) for place in places):
            first.setdefault(number(node.source), "read")
        elif isinstance(node, tirx.BufferStore):
            structural_walk(node.value, ((TensorLoad, Call), note), order="pre")
            first.setdefault(number(node.buffer), "written")
            written.add(number(node.buffer))

    structural_walk(func.body, ((s_tir.SBlock, tirx.BufferStore, TensorLoad, Call), note), order="pre")
    count = len(func.params)
    # A program may give its arguments other names: it reads those, and fills the last.
    filled = written - {-1} or {count - 1}
    reads = [at for at in range(count) if first.get(at, "written" if at in filled else "read") == "read"]
    return reads, sorted(filled)
