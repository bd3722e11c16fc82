"""Products of two activations become calls of our kernel, which reads transposed operands as they lie."""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING

from tvm import relax

from modeldyno.compiler.graph.attention import order
from modeldyno.compiler.graph.fold import constant
from modeldyno.compiler.graph.rewrite import add_named, op_name, rewrite, shape_of
from modeldyno.compiler.kernels.products import Product, Strided, product
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    import tvm

# With fewer rows, packing the right operand would cost more than it saves.
_LEAST_ROWS = 4


def lower_products(mod: tvm.IRModule, machine: Machine) -> tvm.IRModule:
    """Return the module with each product of two activations as a call of our kernel."""
    return rewrite(mod, _Lowering(machine).handle)


class _Lowering:
    """What transposes and reshapes are bound to, and the kernels made so far."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.of: dict[relax.Var, relax.Call] = {}
        self.kernels: dict[tuple[Product, tuple[tuple[int, ...], ...]], tvm.ir.GlobalVar] = {}

    def handle(self, builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        """Give the value to bind."""
        name = op_name(value)
        if name == "relax.matmul":
            call = self._call(builder, builder.normalize(value))
            return value if call is None else call
        if name not in ("relax.permute_dims", "relax.reshape"):
            return value
        value = builder.normalize(value)
        bound = builder.emit(value)
        self.of[bound] = value
        return bound

    def _call(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Call | None:
        shape, shapes = shape_of(call), [shape_of(arg) for arg in call.args]
        if shape is None or 0 in shape or any(each is None or len(each) < 2 for each in shapes):
            return None
        if len(shape) < 2 or any(str(each.ty.dtype) != "float32" for each in (call, *call.args)):
            return None
        if constant(call.args[1]) is not None and len(shapes[1] or ()) == 2:
            return None
        lead, depth = shape[:-2], (shapes[0] or ())[-1]
        (left, left_lies), (right, right_lies) = (self._strided(arg, lead) for arg in call.args)
        sizes = Product(lead, shape[-2], depth, shape[-1], left_lies, right_lies)
        if sizes.height < _LEAST_ROWS or not sizes.can_pack():
            return None
        stored = [shape_of(left) or (), shape_of(right) or (), shape]
        key = (sizes, tuple(stored))
        if key not in self.kernels:
            func = product(sizes, self.machine, stored)
            self.kernels[key] = add_named(builder, func, "product", len(self.kernels))
        return relax.call_tir(self.kernels[key], [left, right], relax.TensorType(shape, "float32"))

    def _strided(self, expr: relax.Expr, lead: tuple[int, ...]) -> tuple[relax.Expr, Strided]:
        """Give the tensor that an operand is a transpose of, and how the operand lies in it."""
        axes = tuple(range(len(shape_of(expr) or ())))
        while op_name(self.of.get(expr)) == "relax.permute_dims":
            axes = tuple(order(self.of[expr])[axis] for axis in axes)
            expr = self.of[expr].args[0]
        shape = shape_of(expr) or ()
        strides = [*accumulate(reversed(shape[1:]), mul, initial=1)][::-1]
        lies = [0 if shape[axis] == 1 else strides[axis] for axis in axes]
        # An axis of size 1 may count as one side by side: no second number lies along it.
        last = [1 if stride == 0 else stride for stride in lies[-2:]]
        missing = len(lead) - len(lies[:-2])
        while op_name(self.of.get(expr)) == "relax.reshape":
            expr = self.of[expr].args[0]
        return expr, Strided((0,) * missing + tuple(lies[:-2]), last[0], last[1])
