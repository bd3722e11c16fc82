"""Rows that are picked by their own numbers: `x[arange(batch), best]`, and masks that are looked up so.

A tensor that numbers the rows is not independent of them. Indices made of it pick a row's own numbers.
"""

from __future__ import annotations

from dataclasses import replace

from dyno.rowflow import layout
from dyno.rowflow.records import Mode
from dyno.rowflow.sizes import ONE, size
from dyno.rowflow.values import Call, CrossedError, Lost, Rows, UnclearError, Value

_MOVES = {
    "Unsqueeze": layout.unsqueeze,
    "Squeeze": layout.squeeze,
    "Reshape": layout.reshape,
    "Transpose": layout.transpose,
    "Expand": layout.expand,
}
_WHOLE = (6, 7)  # int32 and int64, of ONNX's numbers for types


def numbered(call: Call) -> Value | None:
    """Give what comes of a tensor that numbers the rows, or of indices with one in front; None: unknown."""
    if call.node.domain not in ("", "ai.onnx") or call.mode is not Mode.JOIN:
        return None
    try:
        return _numbered(call)
    except (CrossedError, UnclearError, LookupError, ValueError, TypeError, ArithmeticError):
        return None


def _numbered(call: Call) -> Value | None:
    operator = call.node.operator
    if operator == "GatherND":
        return _own_rows(call)
    if operator == "Concat":
        return _indices(call)
    first = call.value()
    numbering = _numbering(first)
    rest = [value for value in call.values[1:] if value is not None]
    if numbering is None or any(isinstance(value.state, Lost | Rows) for value in rest):
        return None
    if operator == "Identity" or (operator == "Cast" and call.attribute("to", 0) in _WHOLE):
        return first
    if operator not in _MOVES or not isinstance(first.state, Lost) or first.state.in_front:
        return None
    given = (replace(first, state=numbering), *call.values[1:])
    (made,) = _MOVES[operator](replace(call, values=given))
    return replace(made, state=replace(first.state, numbering=made.rows)) if made.rows else None


def _numbering(value: Value) -> Rows | None:
    return value.state.numbering if isinstance(value.state, Lost) else None


def _indices(call: Call) -> Value | None:
    """Indices of which the first numbers the rows: joined along the last dimension, where it has one."""
    values = [call.value(place) for place in range(len(call.values))]
    first, shape = values[0], call.shape()
    numbering = _numbering(first)
    if numbering is None or not isinstance(first.state, Lost) or first.state.in_front:
        return None
    last = len(shape) - 1
    if call.axis("axis", 1, len(shape)) != last or shape[last] != ONE or numbering.at == last:
        return None
    for value in values[1:]:
        if value.rows is None or value.rows.place != numbering.place:
            return None
    total = sum((value.shape[last] for value in values if value.shape), start=size(0))
    return Value((*shape[:last], total), replace(first.state, in_front=True))


def _own_rows(call: Call) -> Value | None:
    """GatherND by such indices: each picks in its own row."""
    data, indices = call.value(0), call.value(1)
    numbering, shape, picked = _numbering(indices), call.shape(0), call.shape(1)
    depth = picked[-1].known
    if numbering is None or data.rows is None or depth is None or call.attribute("batch_dims", 0):
        return None
    if not isinstance(indices.state, Lost) or not (indices.state.in_front or depth == 1):
        return None
    simple = data.rows.at == 0 and data.rows.outer == data.rows.inner == ONE
    if not simple or numbering.at == len(picked) - 1:
        return None
    made = (*picked[:-1], *shape[depth:])
    return Value(made, replace(numbering, same=False))
