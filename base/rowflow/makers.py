"""Operators that make tensors of a size that is told, and those that walk through sequences."""

from __future__ import annotations

from dataclasses import replace

from modeldyno.base.rowflow.elementwise import call_shape
from modeldyno.base.rowflow.folding import MOST
from modeldyno.base.rowflow.layout import repeated
from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, ROWS, Shape, Size, opaque, product, size
from modeldyno.base.rowflow.values import (
    COUNTED,
    FREE,
    Call,
    Lost,
    Number,
    Rows,
    State,
    UnclearError,
    Value,
    whole,
)


def constant_of_shape(call: Call) -> list[Value]:
    """ConstantOfShape: the same number everywhere."""
    numbers = call.numbers(0)
    counted = call.value().state is COUNTED
    made = tuple(
        each if isinstance(each, Size) else opaque(f"{call.node.outputs[0]}[{at}]", *[ROWS] * counted)
        for at, each in enumerate(numbers)
    )
    found = Value(made) if call.bare else repeated(Value(()), made)
    count = product(made).known
    fill = call.attribute("value", None)
    if len(made) < 2 and count is not None and count <= MOST:
        number: Number = size(0) if fill is None else _number(fill)
        return [replace(found, numbers=(number,) * count)]
    return [found]


def _number(value: object) -> Number:
    if isinstance(value, bool | int):
        return size(int(value))
    return value if isinstance(value, float) else None


def range_(call: Call) -> list[Value]:
    """Range: by place, so that joined rows would get other numbers."""
    start, limit, step = (_one(call, place) for place in range(3))
    states = [call.value(place).state for place in range(3)]
    plain = start == size(0) and step == ONE and isinstance(limit, Size)
    if plain and isinstance(limit, Size):
        length = limit
    else:
        length = opaque(
            f"range of {start}, {limit}, {step} {call.node.outputs[0]}", *[ROWS] * (COUNTED in states)
        )
    if COUNTED not in states or call.bare:
        return [Value((length,), _free(states))]
    if call.mode is Mode.PAD and plain:
        return [whole(Rows(0, count=length), (length,))]
    if length == ROWS:
        return [Value((length,), Lost(f"{call.node.words}: it numbers the rows", False, Rows(0)))]
    raise UnclearError("it numbers the rows")


def _one(call: Call, place: int) -> Number:
    numbers = call.value(place).numbers
    return numbers[0] if numbers else None


def _free(states: list[State]) -> State:
    rows = [state for state in states if isinstance(state, Rows)]
    if rows:
        raise UnclearError("its length follows from numbers of the rows")
    return FREE


def recurrent(call: Call) -> list[Value]:
    """RNN, GRU, LSTM: step by step through time; each row of the batch has a state of its own."""
    shape, state = call.shape(), call.value().state
    swapped = bool(call.attribute("layout", 0))
    time, batch = (1, 0) if swapped else (0, 1)
    hidden = call.shape(2)[2]
    ways = call.shape(2)[0]
    for place in (1, 2, 3, 7):
        if call.has(place) and call.value(place).state is not FREE:
            raise UnclearError("its weights follow from the rows")
    every: Shape = (shape[0], shape[1], ways, hidden) if swapped else (shape[0], ways, shape[1], hidden)
    last: Shape = (shape[batch], ways, hidden) if swapped else (ways, shape[1], hidden)
    count = len(call.node.outputs)
    if not isinstance(state, Rows):
        _started(call, None, swapped=swapped)
        return [Value(every, state), Value(last, state), Value(last, state)][:count]
    if state.at == batch:
        _started(call, state, swapped=swapped)
        found = state.mapped()
        made = [Value(every, found.moved(0 if swapped else 2)), *[Value(last, found.moved(batch))] * 2]
        return made[:count]
    simple = state.outer == state.inner == ONE
    if state.at == time and call.mode is Mode.PAD and simple and _forward(call) and count == 1:
        return [Value(every, state.mapped())]  # no step sees one behind it
    if call.mode is Mode.PAD and call.has(4):
        raise UnclearError("how far it walks through the rows is told by its lengths")
    raise call.crossed(state, "it walks through the rows")


def _forward(call: Call) -> bool:
    given = call.attribute("direction", b"forward")
    return given in (b"forward", "forward") and not any(call.has(place) for place in (4, 5, 6))


def _started(call: Call, rows: Rows | None, *, swapped: bool) -> None:
    """Check lengths and first states: each row has its own."""
    for place in (4, 5, 6):
        if not call.has(place):
            continue
        state = call.value(place).state
        at = 0 if place == 4 or swapped else 1
        if rows is None and state is FREE:
            continue
        if rows is None or not isinstance(state, Rows) or state.place != (at, *rows.place[1:]):
            raise UnclearError("its first state or its lengths are not those of the rows")


def attention(call: Call) -> list[Value]:
    """Attention of ONNX: the batch is the first dimension of queries, keys, values and mask."""
    values = [call.value(place) for place in range(3)]
    shapes = [call.shape(place) for place in range(3)]
    made = (*shapes[0][:-1], opaque(f"width of {call.node.outputs[0]}"))
    mask = [call.value(3)] if call.has(3) else []
    rest = [call.value(place) for place in range(4, len(call.values)) if call.has(place)]
    rows = [value.rows for value in (*values, *mask) if value.rows]
    if not rows:
        return [Value(made, FREE)] * len(call.node.outputs)
    if any(value.rows is None or value.rows.place != (0, *rows[0].place[1:]) for value in values) or rest:
        if call.mode is Mode.JOIN and any(value.rows and value.rows.at != 0 for value in values) and not rest:
            raise call.crossed(rows[0], "it attends to the rows")
        raise UnclearError("it reads what is not the rows' own")
    if mask and mask[0].rows and (mask[0].rows.at != 0 or len(call_shape(mask[0])) != 4):
        raise UnclearError("its mask is not the rows' own")
    if mask and not mask[0].rows and len(call_shape(mask[0])) == 4 and call_shape(mask[0])[0] != ONE:
        raise UnclearError("its mask is not the rows' own")
    if len(call.node.outputs) > 1:
        raise UnclearError("it keeps a cache")
    return [whole(rows[0].mapped(), made)]


def reverse_sequence(call: Call) -> list[Value]:
    """ReverseSequence: each row by its own length."""
    shape, x, lengths = call.shape(), call.value(0), call.value(1)
    batch, time = call.axis("batch_axis", 1, len(shape)), call.axis("time_axis", 0, len(shape))
    if not x.rows:
        if lengths.state is not FREE:
            raise UnclearError("its lengths follow from the rows")
        return [Value(shape, x.state)]
    if x.rows.at == time and call.mode is Mode.PAD:
        raise UnclearError("how much of the rows it turns round is told by its lengths")
    if x.rows.at == time:
        raise call.crossed(x.rows, "it turns the rows round")
    if x.rows.at == batch and (not lengths.rows or lengths.rows.place != (0, *x.rows.place[1:])):
        raise UnclearError("its lengths are not those of the rows")
    return [Value(shape, x.rows.mapped())]


def per_row(call: Call) -> list[Value]:
    """Operators of ai.onnx.ml that read a table, row by row."""
    shape, state = call.shape(), call.value().state
    if isinstance(state, Rows) and (len(shape) != 2 or state.at != 0):
        raise UnclearError("it reads no table of rows")
    first = shape[:1]
    made = (*first, opaque(f"width of {call.node.outputs[0]}"))
    found = state.mapped() if isinstance(state, Rows) else state
    if call.node.operator in ("Scaler", "Binarizer", "Imputer", "Normalizer", "LabelEncoder"):
        return [Value(shape, found)]
    if call.node.operator.endswith("Classifier"):
        return [Value(first, found), Value(made, found)][: len(call.node.outputs)]
    return [Value(made, found)]


def determinant(call: Call) -> list[Value]:
    """Det: of the last two dimensions."""
    shape, state = call.shape(), call.value().state
    if isinstance(state, Rows):
        if state.at >= len(shape) - 2:
            raise call.crossed(state, "it is of the rows as a whole")
        state = state.mapped()
    return [Value(shape[:-2], state)]
