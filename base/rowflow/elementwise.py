"""Operators that compute each number from those at its own place, with numpy's broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, Shape, Size, broadcast
from modeldyno.base.rowflow.values import (
    COUNTED,
    FREE,
    Call,
    CrossedError,
    Rows,
    State,
    UnclearError,
    Value,
    whole,
)

# By what they make of 0 and of numbers above it: what a padded zero becomes, and whether a sign is kept. No
# square root: of a number below 0 it is NaN, which is not above 0 either.
KEEP_ZERO_AND_SIGN = frozenset(
    (
        *("Identity", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Tanh", "Asinh", "Atan"),
        *("Sinh", "Erf", "Sign", "Softsign", "HardSwish", "Floor", "Ceil", "Round", "ThresholdedRelu"),
        *("Mish", "Swish", "Cast", "CastLike", "Dropout"),
    )
)
KEEP_ZERO = frozenset(("Neg", "Sin", "Tan", "Asin", "Atanh", "Sqrt"))
ZERO_TO_ZERO_NEVER_BELOW = frozenset(("Abs", "Relu"))
NEVER_BELOW = frozenset(("Sigmoid", "HardSigmoid", "Softplus", "Exp", "Cosh", "Not", "IsNaN", "IsInf"))
OTHER_UNARY = frozenset(("Cos", "Acos", "Acosh", "Log", "Reciprocal", "BitwiseNot", "Clip", "Shrink"))
UNARY = KEEP_ZERO_AND_SIGN | KEEP_ZERO | ZERO_TO_ZERO_NEVER_BELOW | NEVER_BELOW | OTHER_UNARY
_SUMS = frozenset(("Add", "Sum", "Mean"))
_TESTS = frozenset(
    ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf")
)
_TELLS = _TESTS | {"Where", "Sign", "Mod"}  # may tell padding from numbers
NARY = (
    _TESTS
    | _SUMS
    | {"Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Where", "PRelu", "BitShift"}
    | {"BitwiseAnd", "BitwiseOr", "BitwiseXor"}
) - UNARY


def unary(call: Call) -> list[Value]:
    """Keep the rows where they are; any further input must be the same for all."""
    x, operator = call.value(), call.node.operator
    shape = call.shape()
    for place in range(1, len(call.values)):
        if call.has(place) and operator != "CastLike" and call.value(place).state is not FREE:
            raise UnclearError(f"its input {place} follows from the rows")
    if operator == "Dropout" and call.has(2) and call.integers(2) != [0]:
        raise UnclearError("it is in training mode")
    state = x.state
    if isinstance(state, Rows):
        zero = state.zero and (operator in KEEP_ZERO | KEEP_ZERO_AND_SIGN | ZERO_TO_ZERO_NEVER_BELOW)
        floor = operator in ZERO_TO_ZERO_NEVER_BELOW | NEVER_BELOW
        floor = floor or (state.floor and operator in KEEP_ZERO_AND_SIGN and _holds_sign(call))
        if operator == "Clip":
            least, most = (_bound(call, place) for place in (1, 2))
            zero = state.zero and (least is None or least <= 0) and (most is None or most >= 0)
            floor = (least is not None and least >= 0) or (state.floor and (most is None or most >= 0))
        state = replace(state.mapped(zero=zero, floor=floor), blind=state.blind and operator not in _TELLS)
    found = Value(shape, state)
    return [found, *[replace(found, state=_plainer(state)) for _ in call.node.outputs[1:]]]


def _bound(call: Call, place: int) -> float | None:
    """Give a bound of Clip; NaN, which is neither above nor below, where it is not known."""
    name = "min" if place == 1 else "max"
    if name in call.node.attributes:
        return float(call.attribute(name, 0))
    if not call.has(place):
        return None
    numbers = call.value(place).numbers
    number = numbers[0] if numbers else None
    if isinstance(number, Size):
        return float(number.known) if number.known is not None else math.nan
    return math.nan if number is None else number


def _holds_sign(call: Call) -> bool:
    """Whether a cast keeps large numbers above 0: to a float, of ONNX's numbers for types."""
    operator = call.node.operator
    return operator != "CastLike" and (operator != "Cast" or call.attribute("to", 0) in (1, 10, 11, 16))


def _plainer(state: State) -> State:
    return state.mapped() if isinstance(state, Rows) else state


def nary(call: Call) -> list[Value]:
    """Broadcast; all tensors with rows must have them in the same place."""
    values = [call.value(place) for place in range(len(call.values)) if call.has(place)]
    return [together(call, values)]


def together(call: Call, values: Sequence[Value]) -> Value:
    """Give what comes of tensors that are broadcast against one another."""
    shapes = [call_shape(value) for value in values]
    shape = broadcast(shapes)
    state = aligned(call, values, len(shape))
    if not isinstance(state, Rows):
        return Value(shape, state)
    rows = [value.rows for value in values if value.rows]
    found = replace(
        state,
        same=all(each.same for each in rows),
        zero=_zero(call.node.operator, values),
        floor=_floor(call, values),
        blind=all(each.blind for each in rows) and call.node.operator not in _TELLS,
    )
    return whole(found, shape)


def call_shape(value: Value) -> Shape:
    """Give a shape.

    Raises:
        UnclearError: the rank is not known.
    """
    if value.shape is None:
        raise UnclearError("the rank of what it reads is not known")
    return value.shape


def aligned(call: Call, values: Sequence[Value], rank: int) -> State:
    """Give the one place of the rows in what broadcast tensors make.

    Raises:
        CrossedError: rows meet rows of another dimension, or their number is computed with.
        UnclearError: a tensor of fixed size meets the rows.
    """
    found: Rows | None = None
    for value in values:
        if value.rows is None:
            continue
        moved = value.rows.moved(value.rows.at + rank - len(call_shape(value)))
        found = found or moved
        if moved.at != found.at:
            raise CrossedError("it pairs rows with rows", certain=call.mode is Mode.JOIN)
        if moved.place != found.place:
            raise UnclearError("it reads rows that lie in different ways")
    counted = any(value.state is COUNTED for value in values)
    if found is None:
        return COUNTED if counted else FREE
    if counted:
        raise call.crossed(found, "the number of rows is computed with")
    for value in values:
        if value.rows is None and size_at(call_shape(value), found.at, rank) != ONE:
            raise UnclearError("a tensor that is the same for all rows has more than one itself")
    return found


def size_at(shape: Shape, at: int, rank: int) -> Size:
    """Give a shape's size in a dimension of the whole rank; 1 where it has no such."""
    place = at - (rank - len(shape))
    return shape[place] if place >= 0 else ONE


def _zero(operator: str, values: Sequence[Value]) -> bool:
    zeros = [value.rows is not None and value.rows.zero for value in values]
    if operator in ("Mul", "And"):
        # 0 times infinity is no 0: the other must be known to be finite, or 0 itself.
        return any(zeros) and all(zero or value.finite for zero, value in zip(zeros, values, strict=True))
    if operator in ("Div", "Pow") and zeros[0]:
        # 0 over what is not 0, and to a power above it.
        numbers = [
            float(each.known or 0) if isinstance(each, Size) else each for each in values[1].numbers or ()
        ]
        return bool(numbers) and all(
            each is not None and (each > 0 or (each < 0 and operator == "Div")) for each in numbers
        )
    return all(zeros) and operator in _SUMS | {"Sub", "Max", "Min", "Where", "Or", "Xor"}


def _floor(call: Call, values: Sequence[Value]) -> bool:
    if call.node.operator in _TESTS:
        return True
    if call.node.operator == "Mul" and len(set(call.node.inputs)) == 1:
        return True
    if call.node.operator == "Pow":
        return values[1].numbers in ((2.0,), (Size((((), 2),)),))
    below = all(value.rows is not None and value.rows.floor for value in values)
    return below and call.node.operator in _SUMS | {"Mul", "Max", "Min", "Where"}
