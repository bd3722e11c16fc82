"""What stands behind each product element by element: what will be computed on its tile, told before fusion.

TVM's FuseOps decides in the end. Two products whose results are added can't both have the addition: the first
has it, here and there. What is not element-wise (a reshape behind a product) ends a tail.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import tvm
from tvm import relax

from modeldyno.compiler.graph.fold import constant
from modeldyno.compiler.graph.rewrite import is_straight_line, op_name, readers, shape_of
from modeldyno.compiler.kernels.choice import BIAS_RELU, Step, Tail

PRODUCTS = ("relax.nn.conv2d", "relax.matmul")
_UNARY = ("nn.relu", "nn.silu", "nn.gelu", "nn.gelu_tanh", "sigmoid", "tanh", "erf", "exp", "negative", "abs")
_BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
_SUM = "0"  # how a step names the product; the result of the n-th step is n


class Tails:
    """The tails of a module's products, to be asked for in the order of their calls."""

    def __init__(self, mod: tvm.IRModule) -> None:
        self._found: dict[relax.Expr, deque[Tail]] = {}
        self._taken: set[relax.Var] = set()  # variables that belong to a tail
        main = mod["main"]
        if not is_straight_line(main):
            return
        self._reads = readers(main)
        bindings = [binding for block in main.body.blocks for binding in block.bindings]
        self._places = {binding.var: place for place, binding in enumerate(bindings)}
        self._bindings = bindings
        for binding in bindings:
            if op_name(binding.value) in PRODUCTS:
                self._found.setdefault(binding.value.args[1], deque()).append(self._tail(binding))

    def of(self, call: relax.Call) -> Tail:
        """Give the tail of the next call that has this call's weights."""
        known = self._found.get(call.args[1])
        return known.popleft() if known else BIAS_RELU

    def _tail(self, product: relax.VarBinding) -> Tail:
        """Take steps while there are any, then leave out the last ones until one result alone is read on."""
        names = {product.var: _SUM}
        steps: list[tuple[relax.Var, Step]] = []
        ahead = self._readers_of(product.var)
        while ahead:
            binding = self._bindings[ahead.pop(0)]
            step = self._step(binding, names, shape_of(product.var))
            if step is not None:
                names[binding.var] = str(len(steps) + 1)
                steps.append((binding.var, step))
                ahead = sorted({*ahead, *self._readers_of(binding.var)})
        while steps and not self._is_closed([product.var, *(var for var, _ in steps)]):
            steps.pop()
        self._taken.update(var for var, _ in steps)
        return tuple(step for _, step in steps)

    def _is_closed(self, variables: list[relax.Var]) -> bool:
        """Whether all but the last variable are read by the others alone."""
        places = {self._places[var] for var in variables}
        return all(
            reader is not None and self._places[reader.var] in places
            for var in variables[:-1]
            for reader in self._reads.get(var, [])
        )

    def _readers_of(self, var: relax.Var) -> list[int]:
        return sorted({self._places[reader.var] for reader in self._reads.get(var, []) if reader is not None})

    def _step(
        self, binding: relax.VarBinding, names: dict[relax.Var, str], shape: tuple[int, ...] | None
    ) -> Step | None:
        name = op_name(binding.value).removeprefix("relax.")
        if name not in (*_UNARY, *_BINARY, "clip") or binding.var in self._taken:
            return None
        args = binding.value.args[:1] if name == "clip" else list(binding.value.args)
        if shape is None or shape_of(binding.var) != shape or not any(arg in names for arg in args):
            return None
        operands = [names.get(arg) or _operand(arg) for arg in args]
        return None if None in operands else (name, *(str(each) for each in operands))


def _operand(arg: relax.Expr) -> str | None:
    """Name an operand by where it comes from and the last axes along which it changes, e.g. `weight 1`."""
    shape = shape_of(arg)
    if shape is None or str(arg.ty.dtype) != "float32":
        return None
    axes = "".join("0" if size == 1 else "1" for size in shape)
    return f"{'weight' if constant(arg) is not None else 'data'} {axes.lstrip('0') or '0'}"


def emit_tail(
    builder: relax.BlockBuilder, product: relax.Expr, tail: Tail, parameters: Iterator[relax.Var]
) -> relax.Expr:
    """Emit the steps of a tail behind a product; `parameters` are its operands from elsewhere, in order."""
    shape = shape_of(product) or ()
    values = {_SUM: product}
    for number, (name, *operands) in enumerate(tail, 1):
        args = [values[each] if each in values else _given(each, shape, parameters) for each in operands]
        values[str(number)] = builder.emit(_call(name, args))
    return values[str(len(tail))]


def data_operands(tail: Tail, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Give the shapes of a tail's operands that are no weights, in order."""
    return [_shape(each, shape) for _, *given in tail for each in given if each.startswith("data ")]


def _given(operand: str, shape: tuple[int, ...], parameters: Iterator[relax.Var]) -> relax.Expr:
    if operand.startswith("data "):
        return next(parameters)
    return relax.const(np.zeros(_shape(operand, shape), np.float32))


def _shape(operand: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    axes = operand.split()[1].zfill(len(shape))
    return tuple(size if axis == "1" else 1 for axis, size in zip(axes, shape, strict=True))


def _call(name: str, args: list[relax.Expr]) -> relax.Call:
    if name == "clip":  # the bounds matter to no loop
        return relax.op.clip(args[0], 0, 6)
    return relax.Call(tvm.ir.Op.get(f"relax.{name}"), args)
