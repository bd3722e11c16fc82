"""Which operators of Relax go where numbers of theirs say, and which divide whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tvm
from tvm import relax

from modeldyno.compiler.graph.rewrite import op_name, shape_of

_DIVISIONS = ("relax.divide", "relax.floor_divide", "relax.mod", "relax.floor_mod")


@dataclass(frozen=True)
class IndexInput:
    """Indices of a call: into axes of these sizes. `put` gives the call with others in their place."""

    index: relax.Expr
    sizes: tuple[int, ...]
    put: Callable[[relax.Call, relax.Expr], relax.Call]


def divides_whole_numbers(expr: relax.Expr) -> bool:
    """Whether a call divides whole numbers, whose divisor must not be 0."""
    return op_name(expr) in _DIVISIONS and str(expr.args[0].ty.dtype).startswith(("int", "uint"))


def sizes_a_result(expr: relax.Expr) -> bool:
    """Whether the numbers of a tensor say how large a result is."""
    if not isinstance(expr, relax.Call) or not expr.args or isinstance(expr.args[-1], tvm.ir.GenericConst):
        return False
    name = expr.op.global_symbol if isinstance(expr.op, relax.ExternFunc) else op_name(expr)
    return name in ("relax.tensor_to_shape", "relax.dynamic_strided_slice", "vm.builtin.tensor_to_shape")


def index_inputs(call: relax.Expr) -> list[IndexInput]:
    """Give the indices of a call; none for what goes nowhere by them.

    Raises:
        NotImplementedError: the size of an axis is known only when the model runs.
    """
    find = _FINDERS.get(op_name(call))
    if find is None:
        return []
    shape = shape_of(call.args[0])
    if shape is None:
        raise NotImplementedError(
            f"{op_name(call).removeprefix('relax.')} of a tensor whose shape only a run tells"
        )
    return find(call, shape)


def _at(place: int) -> Callable[[relax.Call, relax.Expr], relax.Call]:
    def put(call: relax.Call, index: relax.Expr) -> relax.Call:
        args = [*call.args[:place], index, *call.args[place + 1 :]]
        return relax.Call(call.op, args, call.attrs, call.ty_args)

    return put


def _in_tuple(number: int) -> Callable[[relax.Call, relax.Expr], relax.Call]:
    def put(call: relax.Call, index: relax.Expr) -> relax.Call:
        fields = list(call.args[1].fields)
        fields[number] = index
        return _at(1)(call, relax.Tuple(fields))

    return put


def _take(call: relax.Call, shape: tuple[int, ...]) -> list[IndexInput]:
    if str(call.attrs.mode) not in ("fast", "nan"):  # the others wrap or clip
        return []
    axis = call.attrs.axis
    size = _product(shape) if axis is None else shape[int(axis)]
    return [IndexInput(call.args[1], (size,), _at(1))]


def _along_axis(call: relax.Call, shape: tuple[int, ...]) -> list[IndexInput]:
    return [IndexInput(call.args[1], (shape[int(call.attrs.axis)],), _at(1))]


def _gather_nd(call: relax.Call, shape: tuple[int, ...]) -> list[IndexInput]:
    first = int(call.attrs.batch_dims)
    return _coordinates(call, shape[first:])


def _coordinates(call: relax.Call, shape: tuple[int, ...]) -> list[IndexInput]:
    slots = int(call.args[1].ty.shape[-1])
    return [IndexInput(call.args[1], _one_or_all(shape[:slots]), _at(1))] if slots else []


def _tensors(call: relax.Call, shape: tuple[int, ...]) -> list[IndexInput]:
    fields = call.args[1].fields
    return [IndexInput(field, (shape[number],), _in_tuple(number)) for number, field in enumerate(fields)]


def _lengths(call: relax.Call, shape: tuple[int, ...]) -> list[IndexInput]:
    return [IndexInput(call.args[1], (shape[int(call.attrs.seq_axis)] + 1,), _at(1))]


def _classes(call: relax.Call, shape: tuple[int, ...]) -> list[IndexInput]:
    return [IndexInput(call.args[1], (shape[1 if len(shape) > 1 else 0],), _at(1))]


def _one_or_all(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return sizes[:1] if len(set(sizes)) == 1 else sizes


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size


_FINDERS: dict[str, Callable[[relax.Call, tuple[int, ...]], list[IndexInput]]] = {
    "relax.take": _take,
    "relax.gather_elements": _along_axis,
    "relax.scatter_elements": _along_axis,
    "relax.gather_nd": _gather_nd,
    "relax.scatter_nd": _coordinates,
    "relax.index_tensor": _tensors,
    "relax.index_put": _tensors,
    "relax.reverse_sequence": _lengths,
    "relax.nn.nll_loss": _classes,
}
