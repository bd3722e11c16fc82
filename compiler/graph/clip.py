"""Clip with constant bounds as one operator; and clips, ReLUs that keep NaN, as the source models' do.

TVM's ONNX front end gives Clip as calls of tensor programs for max and min, their bounds computed by
operators, which no other pass sees through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tvm import relax, s_tir, te, tirx

from modeldyno.compiler.graph.fold import Array, as_constant, constant
from modeldyno.compiler.graph.rewrite import op_name, rewrite

if TYPE_CHECKING:
    import tvm

_KINDS: tuple[tuple[type[Any], str], ...] = ((tirx.Max, "low"), (tirx.Min, "high"))
# What relax.clip carries its bounds in.
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class _Bounds:
    """A tensor, and the bounds that it is cut to; None where there is none."""

    data: relax.Expr
    low: float | None
    high: float | None


def find_clips(mod: tvm.IRModule) -> tvm.IRModule:
    """Make one relax.clip of each max and min with constant numbers that the ONNX front end emitted.

    A float that has a bound on one side only is cut at the largest finite number on the other, as the ONNX
    operator says.
    """
    clips: dict[relax.Var, _Bounds] = {}

    def handle(builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        bound = _folded_bound(value)
        if bound is not None:
            return as_constant(bound)
        found = _one_side(mod, value)
        if found is None:
            return value
        inner = clips.get(found.data)
        if inner is not None and found.low is None and inner.high is None:
            found = _Bounds(inner.data, inner.low, found.high)
        clipped = _as_clip(found, str(value.ty_args[0].dtype))
        if clipped is None:
            return value
        new = builder.emit(clipped)
        clips[new] = found
        return new

    return rewrite(mod, handle)


def _folded_bound(value: relax.Expr) -> Array | None:
    """Compute what the front end does to a bound: a NaN is none."""
    name = op_name(value)
    if name not in ("relax.isnan", "relax.where"):
        return None
    arrays = [array for array in map(constant, value.args) if array is not None and array.size == 1]
    if len(arrays) != len(value.args):
        return None
    return np.asarray(
        np.isnan(arrays[0]) if name == "relax.isnan" else np.where(arrays[0], arrays[1], arrays[2])
    )


def _one_side(mod: tvm.IRModule, value: relax.Expr) -> _Bounds | None:
    """Read a call of a tensor program that takes the max or min of a tensor and one number."""
    if op_name(value) != "relax.call_tir" or not isinstance(value.args[1], relax.Tuple):
        return None
    store = _store(mod[value.args[0]].body)
    kind = next((side for kind, side in _KINDS if store is not None and isinstance(store.value, kind)), "")
    data, *rest = value.args[1].fields
    if store is None or not kind or len(rest) > 1 or not isinstance(data, relax.Var):
        return None
    if not _at_same_place(store.value.a, store):
        return None
    number = constant(rest[0]) if rest else getattr(store.value.b, "value", None)
    if number is None or np.size(number) != 1 or (rest and not hasattr(store.value.b, "source")):
        return None
    side = np.asarray(number).reshape(()).item()
    return _Bounds(data, side if kind == "low" else None, side if kind == "high" else None)


def _at_same_place(load: tirx.Expr, store: tirx.BufferStore) -> bool:
    """Whether a tensor is read at the place that is written: no axis is broadcast."""
    read, written = getattr(load, "indices", ()), store.indices
    return hasattr(load, "source") and len(read) == len(written) and all(map(_same, read, written))


def _same(left: tirx.Expr, right: tirx.Expr) -> bool:
    return bool(left.same_as(right))


def _store(node: tirx.Stmt) -> tirx.BufferStore | None:
    """Give the one statement inside all loops and blocks, when it writes an element."""
    while not isinstance(node, tirx.BufferStore):
        if isinstance(node, s_tir.SBlockRealize):
            node = node.block
        elif isinstance(node, tirx.For | s_tir.SBlock):
            node = node.body
        else:
            return None
    return node


def _as_clip(bounds: _Bounds, dtype: str) -> relax.Call | None:
    kind = np.dtype(dtype).kind
    if kind == "f":
        most = float(np.finfo(dtype).max)
        # A bound that is infinite came in place of a NaN: nothing is cut on that side, not even infinity.
        low = -most if bounds.low is None else bounds.low
        high = most if bounds.high is None else bounds.high
        return relax.op.clip(bounds.data, tirx.FloatImm("float64", low), tirx.FloatImm("float64", high))
    given = [side for side in (bounds.low, bounds.high) if side is not None]
    if kind not in "iu" or not all(_INT64.min <= side <= _INT64.max for side in given):
        return None
    if len(given) == 2:
        low, high = (tirx.IntImm("int64", side) for side in given)
        return relax.op.clip(bounds.data, low, high)
    number = relax.const(np.asarray(given[0], dtype), dtype)
    operator = relax.op.maximum if bounds.high is None else relax.op.minimum
    return operator(bounds.data, number)


def clamp_kernels() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Call]]:
    """Legalization of the operators that cut values off, for LegalizeOps: what is NaN stays NaN.

    The processor's max and min, and with them TVM's, give the second operand when either is NaN: the number
    goes first.
    """
    return {"relax.clip": _clip, "relax.nn.relu": _relu, "relax.nn.relu6": _relu6}


def _clip(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    low, high = (arg.value for arg in call.args[1:])
    return builder.call_te(_clamped, call.args[0], low, high, primfunc_name_hint="clip")


def _relu(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    return builder.call_te(_clamped, call.args[0], 0, None, primfunc_name_hint="relu")


def _relu6(builder: relax.BlockBuilder, call: relax.Call) -> relax.Call:
    return builder.call_te(_clamped, call.args[0], 0, 6, primfunc_name_hint="relu6")


def _clamped(data: te.Tensor, low: float, high: float | None) -> te.Tensor:
    def element(*axes: tirx.Var) -> tirx.Expr:
        value = tirx.max(tirx.const(low, data.dtype), data[axes])
        return value if high is None else tirx.min(tirx.const(high, data.dtype), value)

    return te.compute(data.shape, element, name="clamp")
