"""What an inference needs and does not compute: weights and buffers, moved out of `main` into its arguments.

TVM's executable holds the weights as bytes of the shared library and copies them when it is loaded, and its
`main` makes a tensor object for each intermediate result in each inference. Here `main` takes the weights and
the buffers behind its inputs instead. The weights become a file, which every process that serves the model
maps and shares; a function of its own, `setup`, makes the buffers once for each session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tvm
from tvm import relax

from modeldyno.compiler.graph.rewrite import op_name
from modeldyno.compiler.guards.guards import guards_of
from modeldyno.compiler.memory.in_place import write_in_place

if TYPE_CHECKING:
    import numpy.typing as npt

SETUP = "setup"
_ALLOCATIONS = ("relax.vm.alloc_storage", "relax.vm.alloc_tensor")
_VIEW = "vm.builtin.reshape"
_KILL = "relax.vm.kill_object"
# TVM's own passes from tensor programs to its virtual machine, in two halves: until each program is called
# with a tensor that it fills, and from there on.
_TO_CALLS = [
    relax.backend.DispatchSampling(),
    relax.backend.DispatchSortScan(),
    relax.transform.LegalizeOps(),
    relax.transform.RewriteDataflowReshape(),
    relax.transform.ToNonDataflow(),
    relax.transform.RemovePurityChecking(),
    relax.transform.CallTIRRewrite(),
]
_TO_MACHINE = [
    relax.transform.StaticPlanBlockMemory(),
    relax.transform.LowerAllocTensor(),
    relax.transform.KillAfterLastUse(),
    relax.transform.LowerRuntimeBuiltin(),
    relax.transform.ComputePrimValue(),
    relax.transform.VMShapeLower(),
    relax.transform.AttachGlobalSymbol(),
]
# What both numpy and the file can hold: other constants (bfloat16) stay in the library.
_WIDTHS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
_DTYPES = frozenset(["bool", "float16", "float32", "float64", *_WIDTHS])
_SIMPLE = (relax.Call, relax.Var, relax.Tuple, relax.TupleGetItem, tvm.ir.GenericConst)


@dataclass(frozen=True)
class Planned:
    """A module whose `main` takes inputs, then `weights` in order, then what `setup()` returns.

    Where there are guards, their word is the last that `setup` returns, and none of the results of `main`.

    `weights` is None where `main` is left as it was, with inputs alone. `renamed` gives the names that
    kernels had before they were made to write in place.
    """

    module: tvm.IRModule
    weights: tuple[npt.NDArray[Any], ...] | None
    renamed: Mapping[str, str] = field(default_factory=dict)


def plan_memory(mod: tvm.IRModule) -> Planned:
    """Lower `mod` to what TVM's virtual machine runs, and move weights and buffers out of `main`.

    A module whose `main` has branches stays as it is: which buffers it needs is known only when it runs.
    """
    in_place = write_in_place(tvm.transform.Sequential(_TO_CALLS)(mod))
    lowered = tvm.transform.Sequential(_TO_MACHINE)(in_place.module)
    main = lowered["main"]
    if not isinstance(main.body, relax.SeqExpr):
        return Planned(mod, None)
    bindings = [binding for block in main.body.blocks for binding in block.bindings]
    if not all(isinstance(b, relax.VarBinding) and isinstance(b.value, _SIMPLE) for b in bindings):
        return Planned(mod, None)
    split = _Split()
    for binding in bindings:
        split.take(binding)
    if guards_of(lowered):
        split.set_word_apart(main.body.body)
    module = lowered.clone()
    module["main"] = split.main(main)
    module[SETUP] = split.setup()
    return Planned(module, tuple(split.weights), in_place.renamed)


def is_planned(mod: tvm.IRModule) -> bool:
    """Whether a module is lowered already, by `plan_memory`."""
    return any(name.name_hint == SETUP for name in mod.get_global_vars())


class _Split:
    """The two halves of `main`, binding by binding: what is made once, and what runs each time."""

    def __init__(self) -> None:
        self.weights: list[npt.NDArray[Any]] = []
        self._made: list[relax.VarBinding] = []
        self._run: list[relax.VarBinding] = []
        self._once: dict[relax.Var, None] = {}  # variables of `_made`, in order
        self._handed: dict[
            relax.Expr, relax.Var
        ] = {}  # variable or constant → the parameter of `main` that brings it
        self._weight_params: list[relax.Var] = []
        self._buffer_params: list[relax.Var] = []
        self._handed_on: list[relax.Var] = []
        self._result: relax.Expr | None = None  # of `main`, where it is not that of the function as it was

    def take(self, binding: relax.VarBinding) -> None:
        """Put one binding into its half."""
        value = binding.value
        if op_name(value) == _KILL and value.args[0] in self._once:
            return
        if self._is_made_once(value):
            self._made.append(binding)
            self._once[binding.var] = None
        else:
            self._run.append(relax.VarBinding(binding.var, self._passed(value)))

    def set_word_apart(self, result: relax.Var) -> None:
        """Leave the guards' word out of the results: it is read where it lies, the last of the buffers.

        So an inference hands over, and the caller unpacks, no more results than without guards.
        """
        whole = self._run.pop()
        if not whole.var.same_as(result) or not isinstance(whole.value, relax.Tuple):
            raise ValueError("the results of a guarded function are no tuple that ends it")
        *results, word = whole.value.fields
        if word not in self._buffer_params:
            raise ValueError("the word of the guards is in no buffer of its own")
        place = self._buffer_params.index(word)
        for each in (self._buffer_params, self._handed_on):
            each.append(each.pop(place))
        self._result = results[0] if len(results) == 1 else relax.Tuple(results)

    def main(self, old: relax.Function) -> relax.Function:
        """Make the function that runs each time."""
        result = self._passed(old.body.body) if self._result is None else self._result
        body = relax.SeqExpr([relax.BindingBlock(self._run)], result)
        params = [*old.params, *self._weight_params, *self._buffer_params]
        return_type = old.ret_ty if self._result is None else _any_type()
        return relax.Function(params, body, return_type, is_pure=False, attrs=old.attrs)

    def setup(self) -> relax.Function:
        """Make the function that returns the buffers."""
        body = relax.SeqExpr([relax.BindingBlock(self._made)], relax.Tuple(self._handed_on))
        function = relax.Function([], body, _any_type(), is_pure=False)
        return function.with_attr("global_symbol", SETUP)

    def _is_made_once(self, value: relax.Expr) -> bool:
        if op_name(value) in _ALLOCATIONS:
            return all(arg in self._once for arg in value.args if isinstance(arg, relax.Var))
        if isinstance(value, relax.Call) and isinstance(value.op, relax.ExternFunc):
            return value.op.global_symbol == _VIEW and value.args[0] in self._once
        return False

    def _passed(self, expr: relax.Expr) -> relax.Expr:
        """Give an expression of the running half, with parameters for what is made once."""
        if isinstance(expr, relax.Call):
            args = [self._passed(arg) for arg in expr.args]
            return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([self._passed(field) for field in expr.fields])
        if isinstance(expr, tvm.ir.GenericConst):
            return self._weight(expr)
        if isinstance(expr, relax.Var) and expr in self._once:
            return self._buffer(expr)
        return expr

    def _weight(self, const: tvm.ir.GenericConst) -> relax.Expr:
        if const not in self._handed:
            if not _fits_the_file(const.value):
                return const
            self._handed[const] = relax.Var(f"weight{len(self.weights)}", _any_type())
            self._weight_params.append(self._handed[const])
            self.weights.append(const.value.numpy())
        return self._handed[const]

    def _buffer(self, var: relax.Var) -> relax.Var:
        if var not in self._handed:
            # Of no type: the virtual machine would check each tensor against it in each inference.
            self._handed[var] = relax.Var(var.name, _any_type())
            self._buffer_params.append(self._handed[var])
            self._handed_on.append(var)
        return self._handed[var]


def _any_type() -> relax.AnyType:
    return relax.AnyType()


def _fits_the_file(value: object) -> bool:
    return isinstance(value, tvm.runtime.Tensor) and str(value.dtype) in _DTYPES
