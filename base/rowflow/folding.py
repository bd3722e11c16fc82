"""Small whole numbers, worked out with symbols: shapes that a graph computes from shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from modeldyno.base.rowflow.sizes import ONE, Size, product, size
from modeldyno.base.rowflow.values import COUNTED, FREE, Call, Number, State, Value

MOST = 64
Numbers = tuple[Number, ...]
ZERO = size(0)


def fold(call: Call) -> Value | None:
    """Give the numbers of what a node computes from sizes; None where it is no such node."""
    operator = call.node.operator
    if operator in ("Shape", "Size"):
        return _measured(call)
    values = [value for value in call.values if value is not None]
    if not values or any(
        value.numbers is None or not isinstance(value.state, type(FREE)) for value in values
    ):
        return None
    made = _made(call, [value for value in values if value.numbers is not None])
    if made is None or len(made[1]) > MOST:
        return None
    shape, numbers = made
    counted = any(value.state is COUNTED for value in values)
    return Value(shape, _state(numbers, counted=counted), numbers, kind="i")


def _state(numbers: Numbers, *, counted: bool) -> State:
    """Numbers that are all known follow from the rows only where a symbol says so."""
    if any(isinstance(each, Size) and each.counts_rows for each in numbers):
        return COUNTED
    return COUNTED if counted and any(each is None for each in numbers) else FREE


def _measured(call: Call) -> Value | None:
    shape = call.value().shape
    if shape is None:
        return None
    if call.node.operator == "Size":
        numbers: Numbers = (product(shape),)
        return Value((), _state(numbers, counted=False), numbers, kind="i")
    start, end = call.attribute("start", 0), call.attribute("end", len(shape))
    numbers = shape[slice(start, end)]
    return Value((size(len(numbers)),), _state(numbers, counted=False), numbers, kind="i")


def _made(call: Call, values: Sequence[Value]) -> tuple[tuple[Size, ...], Numbers] | None:
    operator = call.node.operator
    if operator in _MOVES:
        return _MOVES[operator](call)
    if operator in _EACH:
        return _broadcast(_EACH[operator], values)
    return None


def _broadcast(
    function: Callable[..., Number], values: Sequence[Value]
) -> tuple[tuple[Size, ...], Numbers] | None:
    """Compute number by number; tensors of one number go with any."""
    if any(value.shape is None or len(value.shape) > 1 for value in values):
        return None
    lists = [value.numbers or () for value in values]
    count = max(map(len, lists))
    if any(len(numbers) not in (1, count) for numbers in lists):
        return None
    rows = [numbers * count if len(numbers) == 1 else numbers for numbers in lists]
    made = tuple(function(*each) for each in zip(*rows, strict=True))
    flat = all(not value.shape for value in values)
    return (() if flat else (size(count),)), made


def _add(*numbers: Number) -> Number:
    return _folded(numbers, lambda a, b: a + b, lambda a, b: a + b)


def _sub(*numbers: Number) -> Number:
    return _folded(numbers, lambda a, b: a - b, lambda a, b: a - b)


def _mul(*numbers: Number) -> Number:
    return _folded(numbers, lambda a, b: a * b, lambda a, b: a * b)


def _div(a: Number, b: Number) -> Number:
    if isinstance(a, Size) and isinstance(b, Size):
        # Sizes are not negative, so that rounding down and towards zero are one.
        positive = all(count > 0 for each in (a, b) for _, count in each.terms)
        return a.over(b) if positive and b != ZERO else None
    return a / b if isinstance(a, float) and isinstance(b, float) and b else None


def _mod(a: Number, b: Number) -> Number:
    one, two = (each.known if isinstance(each, Size) else None for each in (a, b))
    return None if one is None or not two or one < 0 or two < 0 else size(one % two)


def _folded(
    numbers: Sequence[Number], whole: Callable[[Size, Size], Size], real: Callable[[float, float], float]
) -> Number:
    found = numbers[0]
    for each in numbers[1:]:
        if isinstance(found, Size) and isinstance(each, Size):
            found = whole(found, each)
        elif isinstance(found, float) and isinstance(each, float):
            found = real(found, each)
        else:
            return None
    return found


def _extreme(pick: Callable[[Sequence[int]], int]) -> Callable[..., Number]:
    def choose(*numbers: Number) -> Number:
        if len(set(numbers)) == 1:
            return numbers[0]
        known = [each.known for each in numbers if isinstance(each, Size)]
        whole = [each for each in known if each is not None]
        return size(pick(whole)) if len(whole) == len(numbers) else None

    return choose


def _equal(a: Number, b: Number) -> Number:
    if not isinstance(a, Size) or not isinstance(b, Size):
        return None
    return ONE if a == b else ZERO if a.surely_differs(b) else None


def _ordered(test: Callable[[int, int], bool]) -> Callable[..., Number]:
    def compare(a: Number, b: Number) -> Number:
        one = a.known if isinstance(a, Size) else None
        two = b.known if isinstance(b, Size) else None
        return None if one is None or two is None else size(int(test(one, two)))

    return compare


def _where(condition: Number, a: Number, b: Number) -> Number:
    if not isinstance(condition, Size) or condition.known is None:
        return a if a == b else None
    return a if condition.known else b


def _not(a: Number) -> Number:
    return size(int(not a.known)) if isinstance(a, Size) and a.known is not None else None


def _negated(a: Number) -> Number:
    return ZERO - a if isinstance(a, Size) else -a if isinstance(a, float) else None


def _rounded(function: Callable[[float], int]) -> Callable[[Number], Number]:
    return lambda a: float(function(a)) if isinstance(a, float) else a


_EACH: dict[str, Callable[..., Number]] = {
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Mod": _mod,
    "Neg": _negated,
    "Max": _extreme(max),
    "Min": _extreme(min),
    "Equal": _equal,
    "Greater": _ordered(lambda a, b: a > b),
    "GreaterOrEqual": _ordered(lambda a, b: a >= b),
    "Less": _ordered(lambda a, b: a < b),
    "LessOrEqual": _ordered(lambda a, b: a <= b),
    "Where": _where,
    "Not": _not,
    "Identity": lambda a: a,
    "Floor": _rounded(math.floor),
    "Ceil": _rounded(math.ceil),
}


def _cast(call: Call) -> tuple[tuple[Size, ...], Numbers] | None:
    value, to = call.value(), int(call.attribute("to", 0))
    if value.shape is None:
        return None
    return value.shape, tuple(_as_kind(each, to) for each in value.numbers or ())


def _as_kind(number: Number, to: int) -> Number:
    """Cast, by ONNX's number of the type: whole numbers of 32 and 64 bits, bool, floats."""
    if isinstance(number, Size):
        if to in (6, 7):
            return number
        if to == 9:
            return None if number.known is None else size(int(number.known != 0))
        return float(number.known) if to in (1, 11) and number.known is not None else None
    if isinstance(number, float):
        return (
            size(int(number)) if to in (6, 7) and math.isfinite(number) else number if to in (1, 11) else None
        )
    return None


def _gathered(call: Call) -> tuple[tuple[Size, ...], Numbers] | None:
    data, indices = call.value(0), call.value(1)
    numbers, shape = data.numbers or (), indices.shape
    if data.shape is None or len(data.shape) != 1 or shape is None or len(shape) > 1:
        return None
    places = [each.known if isinstance(each, Size) else None for each in indices.numbers or ()]
    if any(place is None or not -len(numbers) <= place < len(numbers) for place in places):
        return None
    return shape, tuple(numbers[place or 0] for place in places)


def _joined(call: Call) -> tuple[tuple[Size, ...], Numbers] | None:
    values = [value for value in call.values if value is not None]
    if any(value.shape is None or len(value.shape) != 1 for value in values):
        return None
    numbers = tuple(each for value in values for each in value.numbers or ())
    return (size(len(numbers)),), numbers


def _sliced(call: Call) -> tuple[tuple[Size, ...], Numbers] | None:
    from modeldyno.base.rowflow.indexing import cuts_of

    numbers, shape = call.value().numbers or (), call.value().shape
    if shape is None or len(shape) != 1:
        return None
    (cut,) = cuts_of(call, 1).values()
    first, last = (each.known if isinstance(each, Size) else None for each in cut[:2])
    if first is None or last is None:
        return None
    made = numbers[first : last : cut[2]]
    return (size(len(made)),), made


def _as_list(call: Call) -> tuple[tuple[Size, ...], Numbers] | None:
    """Unsqueeze and Reshape of numbers that stay of rank 0 or 1."""
    numbers = call.value().numbers or ()
    shape = call.value().shape
    rank: int | None = None
    if call.node.operator == "Reshape":
        rank = len(call.numbers(1)) if call.has(1) else None
    elif call.node.operator == "Unsqueeze":
        rank = len(call.integers(1, "axes") or ()) + len(shape or ())
    elif call.node.operator == "Flatten":
        return None
    return ((size(len(numbers)),), numbers) if rank == 1 else ((), numbers) if rank == 0 else None


def _as_number(call: Call) -> tuple[tuple[Size, ...], Numbers] | None:
    numbers = call.value().numbers or ()
    return ((), numbers) if len(numbers) == 1 else None


def _reduced(call: Call) -> tuple[tuple[Size, ...], Numbers] | None:
    shape, numbers = call.value().shape, call.value().numbers or ()
    axes = call.integers(1, "axes")
    if shape is None or len(shape) != 1 or not numbers or axes not in (None, [0], [-1]):
        return None
    if call.attribute("noop_with_empty_axes", 0):
        return None
    function = {"ReduceProd": _mul, "ReduceSum": _add, "ReduceMax": _extreme(max), "ReduceMin": _extreme(min)}
    made = (function[call.node.operator](*numbers),)
    return ((ONE,) if call.attribute("keepdims", 1) else ()), made


_MOVES: dict[str, Callable[[Call], tuple[tuple[Size, ...], Numbers] | None]] = {
    "Cast": _cast,
    "Gather": _gathered,
    "Concat": _joined,
    "Slice": _sliced,
    "Unsqueeze": _as_list,
    "Reshape": _as_list,
    "Squeeze": _as_number,
    **dict.fromkeys(("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin"), _reduced),
}
