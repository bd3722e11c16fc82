"""Sorting floats by a total order: NaN counts as the largest number, as in torch and numpy.

A comparison with NaN is false both ways, so what a sort makes of a row that holds one is not defined. The
rows are sorted as doubles in which infinity and NaN are two numbers that no float reaches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from modeldyno.compiler.graph.rewrite import op_name, rewrite

_INFINITE, _NOT_A_NUMBER = 1e300, 2e300
_FLOATS = ("float32", "float16")


def total_orders(mod: Any) -> Any:
    """Return the module with sort, argsort and topk of floats in a total order; doubles stay as they are."""
    return rewrite(mod, _handle)


def _handle(builder: Any, _var: Any, value: Any) -> Any:
    rule = _RULES.get(op_name(value))
    if rule is None or str(getattr(value.args[0].ty, "dtype", "")) not in _FLOATS:
        return value
    return rule(builder, value)


def _sort(builder: Any, call: Any) -> Any:
    return _back(builder, _by_keys(builder, call), str(call.args[0].ty.dtype))


def _argsort(builder: Any, call: Any) -> Any:
    return _by_keys(builder, call)


def _topk(builder: Any, call: Any) -> Any:
    found, dtype = _by_keys(builder, call), str(call.args[0].ty.dtype)
    kind = str(call.attrs.ret_type)
    if kind == "indices":
        return found
    if kind == "values":
        return _back(builder, found, dtype)
    values = builder.emit(relax.TupleGetItem(found, 0))
    return relax.Tuple([_back(builder, values, dtype), builder.emit(relax.TupleGetItem(found, 1))])


def _by_keys(builder: Any, call: Any) -> Any:
    """Sort the doubles that stand for the numbers."""
    data, op = call.args[0], relax.op
    wide = builder.emit(op.minimum(builder.emit(op.astype(data, "float64")), _number(_INFINITE)))
    keys = builder.emit(op.where(builder.emit(op.isnan(data)), _number(_NOT_A_NUMBER), wide))
    return builder.emit(relax.Call(call.op, [keys, *call.args[1:]], call.attrs))


def _back(builder: Any, keys: Any, dtype: str) -> Any:
    """Give the numbers that doubles stand for."""
    op = relax.op
    large = builder.emit(op.greater_equal(keys, _number(_INFINITE)))
    finite = builder.emit(op.where(large, _number(0.0), keys))
    none = builder.emit(op.greater(keys, _number(_INFINITE)))
    special = builder.emit(op.where(none, relax.const(np.nan, dtype), relax.const(np.inf, dtype)))
    return builder.emit(op.where(large, special, builder.emit(op.astype(finite, dtype))))


def _number(value: float) -> Any:
    return relax.const(value, "float64")


_RULES: dict[str, Callable[[Any, Any], Any]] = {
    "relax.sort": _sort,
    "relax.argsort": _argsort,
    "relax.topk": _topk,
}
