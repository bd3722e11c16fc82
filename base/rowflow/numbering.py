"""Rows that are picked by their own numbers: `x[arange(batch), best]`, and masks that are looked up so.

A tensor that numbers the rows is not independent of them. Indices made of it pick a row's own numbers.
"""

from __future__ import annotations

from dataclasses import replace

from modeldyno.base.rowflow import layout
from modeldyno.base.rowflow.elementwise import aligned, call_shape
from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, Size, broadcast, size
from modeldyno.base.rowflow.values import FREE, Call, CrossedError, Lost, Rows, UnclearError, Value

_MOVES = {
    "Unsqueeze": layout.unsqueeze,
    "Squeeze": layout.squeeze,
    "Reshape": layout.reshape,
    "Transpose": layout.transpose,
    "Expand": layout.expand,
}
_SAME = ("Identity", "Cast")
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
    special = {
        "GatherND": _own_rows,
        "Concat": _indices,
        "Mul": _scaled,
        "Add": _filled,
        "Gather": _own_places,
    }
    if operator in special:
        return special[operator](call)
    first = call.value()
    numbering = _numbering(first)
    rest = [value for value in call.values[1:] if value is not None]
    if numbering is None or any(isinstance(value.state, Lost | Rows) for value in rest):
        return None
    if operator in _SAME:
        return first if _stays_whole(call) else None
    if operator not in _MOVES or not isinstance(first.state, Lost) or first.state.in_front:
        return None
    given = (replace(first, state=numbering), *call.values[1:])
    (made,) = _MOVES[operator](replace(call, values=given))
    return replace(made, state=replace(first.state, numbering=made.rows)) if made.rows else None


def _stays_whole(call: Call) -> bool:
    return call.node.operator != "Cast" or call.attribute("to", 0) in _WHOLE


def bounded(call: Call, made: list[Value]) -> list[Value]:
    """Keep what is known of whole numbers: those of a Range, of an ArgMax, and where they are moved to."""
    bound = _bound(call, made)
    return [replace(value, bound=bound) for value in made] if bound is not None else made


def _bound(call: Call, made: list[Value]) -> Size | None:
    operator, read = call.node.operator, [value for value in call.values if value is not None]
    first = read[0] if read else None
    if first is None or first.shape is None or len(read) < len(call.values):
        return None
    if operator in ("ArgMax", "ArgMin"):
        axis = call.axis("axis", 0, len(first.shape))
        return first.shape[axis] if 0 <= axis < len(first.shape) else None
    if operator == "Range" and len(read) == 3 and first.numbers == (size(0),) and made[0].shape:
        limit, step = read[1].numbers, read[2].numbers
        return limit[0] if step == (ONE,) and limit and isinstance(limit[0], Size) else None
    if operator in _MOVES or (operator in _SAME and _stays_whole(call)):
        return first.bound
    return None


def _scaled(call: Call) -> Value | None:
    """Numbers of rows times how many places each has."""
    one, two = call.value(0), call.value(1)
    first, by = (one, two) if _numbering(one) else (two, one)
    state, times = first.state, by.numbers[0] if by.numbers and len(by.numbers) == 1 else None
    fits = by.shape is not None and first.shape is not None and len(by.shape) <= len(first.shape)
    if not isinstance(state, Lost) or state.numbering is None or by.state is not FREE or not fits:
        return None
    if state.in_front or state.times != ONE or state.filled or not isinstance(times, Size):
        return None
    return replace(first, state=replace(state, times=times))


def _filled(call: Call) -> Value | None:
    """A place within each row added to where the row begins."""
    one, two = call.value(0), call.value(1)
    first, place = (one, two) if _numbering(one) else (two, one)
    state, numbering = first.state, _numbering(first)
    if not isinstance(state, Lost) or numbering is None or place.bound is None or state.filled:
        return None
    if state.in_front or place.bound != state.times or (place.state is not FREE and place.rows is None):
        return None
    rank = max(len(call_shape(one)), len(call_shape(two)))
    moved = replace(first, state=numbering)
    rows = aligned(call, [moved, place], rank)
    shape = broadcast([call_shape(first), call_shape(place)])
    if not isinstance(rows, Rows):
        return None
    return Value(shape, replace(state, numbering=rows, filled=True))


def _own_places(call: Call) -> Value | None:
    """Gather in rows that lie one behind another, each by places of its own."""
    data, indices = call.value(0), call.value(1)
    state, rows = indices.state, data.rows
    if not isinstance(state, Lost) or state.numbering is None or not state.filled or rows is None:
        return None
    shape = call.shape(0)
    if call.axis("axis", 0, len(shape)) or rows.at or rows.outer != ONE or rows.inner != state.times:
        return None
    return Value((*call.shape(1), *shape[1:]), state.numbering)


def _numbering(value: Value) -> Rows | None:
    return value.state.numbering if isinstance(value.state, Lost) else None


def _indices(call: Call) -> Value | None:
    """Indices of which the first numbers the rows: joined along the last dimension, where it has one."""
    values = [call.value(place) for place in range(len(call.values))]
    first, shape = values[0], call.shape()
    numbering = _numbering(first)
    if numbering is None or not isinstance(first.state, Lost) or first.state.in_front:
        return None
    if first.state.times != ONE or first.state.filled:
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
    if not isinstance(indices.state, Lost) or indices.state.times != ONE or indices.state.filled:
        return None
    if not (indices.state.in_front or depth == 1):
        return None
    simple = data.rows.at == 0 and data.rows.outer == data.rows.inner == ONE
    if not simple or numbering.at == len(picked) - 1:
        return None
    made = (*picked[:-1], *shape[depth:])
    return Value(made, replace(numbering, same=False))
