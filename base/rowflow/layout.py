"""Operators that move numbers without computing: where the rows lie afterwards."""

from __future__ import annotations

from dataclasses import replace

from modeldyno.base.rowflow.elementwise import call_shape
from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, ROWS, Shape, Size, broadcast, opaque, product, size
from modeldyno.base.rowflow.values import (
    COUNTED,
    FREE,
    Call,
    CrossedError,
    Rows,
    UnclearError,
    Value,
    axes_of,
    before,
    whole,
    without,
)


def transpose(call: Call) -> list[Value]:
    """Move the rows with their dimension."""
    shape, state = call.shape(), call.value().state
    order = [int(at) for at in call.attribute("perm", range(len(shape) - 1, -1, -1))]
    moved = state.moved(order.index(state.at)) if isinstance(state, Rows) else state
    return [Value(tuple(shape[at] for at in order), moved)]


def squeeze(call: Call) -> list[Value]:
    """Take dimensions of 1 away, by name."""
    shape, state = call.shape(), call.value().state
    given = call.integers(1, "axes")
    if given is None and any(each.known is None for each in shape):
        raise UnclearError("it takes away whatever has the size 1")
    gone = axes_of(given, len(shape))
    if given is None:
        gone = {at for at in gone if shape[at] == ONE}
    left = tuple(each for at, each in enumerate(shape) if at not in gone)
    if isinstance(state, Rows):
        if state.at in gone:
            raise UnclearError("it takes the dimension of the rows away")
        state = state.moved(without(state.at, gone))
    return [Value(left, state)]


def unsqueeze(call: Call) -> list[Value]:
    """Put dimensions of 1 in."""
    shape, state = call.shape(), call.value().state
    given = call.integers(1, "axes")
    if given is None:
        raise UnclearError("its axes are not known")
    rank = len(shape) + len(given)
    new = axes_of(given, rank)
    old = [at for at in range(rank) if at not in new]
    made = [ONE] * rank
    for at, each in zip(old, shape, strict=True):
        made[at] = each
    return [Value(tuple(made), state.moved(old[state.at]) if isinstance(state, Rows) else state)]


def flatten(call: Call) -> list[Value]:
    """Make a matrix of all before an axis and all from it on."""
    shape = call.shape()
    axis = call.axis("axis", 1, len(shape))
    return [reshaped(call.value(), (before(shape, axis), product(shape[axis:])))]


def reshape(call: Call) -> list[Value]:
    """Find the rows again in other dimensions."""
    x, shape = call.value(), call.shape()
    given = call.attribute("shape", None)
    numbers = [size(int(each)) for each in given] if given is not None else list(call.numbers(1))
    counted = given is None and call.value(1).state is COUNTED
    if not call.attribute("allowzero", 0):
        numbers = [shape[at] if each == size(0) else each for at, each in enumerate(numbers)]
    wanted = [
        each if isinstance(each, Size) else opaque(f"{call.node.outputs[0]}[{at}]", *[ROWS] * counted)
        for at, each in enumerate(numbers)
    ]
    minus = [at for at, each in enumerate(wanted) if each.known == -1]
    if len(minus) > 1:
        raise UnclearError("its shape has more than one -1")
    for at in minus:
        others = product(each for place, each in enumerate(wanted) if place != at)
        wanted[at] = _share(product(shape), others)
    return [reshaped(x, tuple(wanted))]


def _share(total: Size, others: Size) -> Size:
    """Divide: where both are so many times the rows, what is left follows from no row."""
    exact = total.exactly_over(others)
    if exact is not None:
        return exact
    one, two = total.exactly_over(ROWS), others.exactly_over(ROWS)
    return one.over(two) if one is not None and two is not None else total.over(others)


def reshaped(x: Value, made: Shape) -> Value:
    """Give a value in another shape of as many elements.

    Raises:
        UnclearError: the rows can't be found in it.
    """
    state, shape = x.state, call_shape(x)
    if not isinstance(state, Rows):
        return Value(made, state)
    ahead = before(shape, state.at) * state.outer
    behind = state.inner * product(shape[state.at + 1 :])
    holders = [at for at, each in enumerate(made) if each.counts_rows]
    if len(holders) == 1:
        (at,) = holders
        times = made[at].exactly_over(state.count)
        if times is not None and not times.counts_rows:
            # Of equal products: where all before the rows is as it was, so is all behind, and the other way.
            outer = ahead.exactly_over(before(made, at))
            inner = times.exactly_over(outer) if outer is not None else None
            if outer is None or inner is None:
                inner = behind.exactly_over(product(made[at + 1 :]))
                outer = times.exactly_over(inner) if inner is not None else None
            if outer is not None and inner is not None:
                return whole(replace(state, at=at, outer=outer, inner=inner), made)
    raise UnclearError("its new shape may put numbers of several rows together")


def concat(call: Call) -> list[Value]:
    """Put tensors together along an axis; along that of the rows only whole sets of rows."""
    values = [call.value(place) for place in range(len(call.values))]
    shapes = [call_shape(value) for value in values]
    axis = call.axis("axis", 1, len(shapes[0]))
    total = sum((shape[axis] for shape in shapes), start=size(0))
    made = tuple(
        total if at == axis else broadcast([(shape[at],) for shape in shapes])[0]
        for at in range(len(shapes[0]))
    )
    rows = [value.rows for value in values if value.rows]
    if not rows:
        return [Value(made, COUNTED if any(v.state is COUNTED for v in values) else FREE)]
    return [_with_rows(call, values, rows, (axis, made))]


def _with_rows(call: Call, values: list[Value], rows: list[Rows], where: tuple[int, Shape]) -> Value:
    axis, made = where
    first = rows[0]
    if any(each.at != first.at for each in rows):
        raise CrossedError("it puts rows beside rows", certain=call.mode is Mode.JOIN)
    flagged = replace(
        first,
        same=all(each.same for each in rows) and len(rows) == len(values) and first.at != axis,
        zero=all(each.zero for each in rows),
        floor=all(each.floor for each in rows) and len(rows) == len(values),
        blind=all(each.blind for each in rows),
    )
    alike = all((each.inner, each.count) == (first.inner, first.count) for each in rows)
    if first.at == axis and len(rows) == len(values) and alike:
        outer = sum((each.outer for each in rows), start=size(0))
        return whole(replace(flagged, outer=outer), made)
    if first.at != axis and len(rows) == len(values) and all(each.place == first.place for each in rows):
        return whole(flagged, made)
    if call.mode is Mode.PAD and first.at == axis and _only_last(values):
        return whole(replace(flagged, count=made[axis]), made)  # all in front stays in its place
    raise UnclearError("it puts rows together with what has none")


def _only_last(values: list[Value]) -> bool:
    last = values[-1].rows
    simple = last is not None and last.outer == last.inner == ONE
    return simple and all(value.state is FREE for value in values[:-1])


def split(call: Call) -> list[Value]:
    """Cut along an axis; along that of the rows only into whole sets of rows."""
    shape, state, outputs = call.shape(), call.value().state, len(call.node.outputs)
    axis = call.axis("axis", 0, len(shape))
    given = call.integers(1, "split")
    if given is None:
        each = shape[axis].exactly_over(size(outputs))
        parts = [each] * outputs if each else _uneven(shape[axis], outputs, call.node.outputs[0])
        exact = each is not None
    else:
        parts, exact = [size(number) for number in given], False
    made = [(*shape[:axis], part, *shape[axis + 1 :]) for part in parts]
    if not isinstance(state, Rows) or state.at != axis:
        return [Value(part, state) for part in made]
    if exact and state.outer == size(outputs):
        return [whole(replace(state, outer=ONE), part) for part in made]
    raise call.crossed(state, "it parts the rows")


def _uneven(length: Size, outputs: int, name: str) -> list[Size]:
    """Parts that differ: all as large as the first, but the last."""
    if length.known is None:
        return [opaque(f"part {at} of {name}", length) for at in range(outputs)]
    each = -(-length.known // outputs)
    return [size(each)] * (outputs - 1) + [size(length.known - each * (outputs - 1))]


def expand(call: Call) -> list[Value]:
    """Repeat along dimensions of 1."""
    x, shape = call.value(), call.shape()
    numbers = call.numbers(1)
    wanted = tuple(
        each if isinstance(each, Size) else opaque(f"{call.node.outputs[0]}[{at}]", *[ROWS] * _counted(call))
        for at, each in enumerate(numbers)
    )
    made = broadcast([shape, wanted])
    if x.rows:
        at = x.rows.at + len(made) - len(shape)
        others = [each for place, each in enumerate(made) if place != at and each.counts_rows]
        place = at - (len(made) - len(wanted))
        asked = wanted[place] if place >= 0 else ONE
        if others or asked not in (ONE, shape[x.rows.at]):
            raise UnclearError("it repeats the rows")
        return [whole(x.rows.moved(at), made)]
    return [Value(made) if call.bare else repeated(x, made)]


def _counted(call: Call) -> int:
    return int(call.value(1).state is COUNTED)


def repeated(x: Value, made: Shape) -> Value:
    """Give what the number of rows repeats: the same in each of them."""
    holders = [at for at, each in enumerate(made) if each.counts_rows]
    if not holders or x.state is COUNTED:
        return Value(made, x.state)
    shape = x.shape or ()
    if len(holders) > 1:
        raise UnclearError("it is as large as the number of rows in more than one dimension")
    (at,) = holders
    place = at - (len(made) - len(shape))
    times = made[at].exactly_over(ROWS)
    if times is None or (place >= 0 and shape[place] != ONE):
        raise UnclearError("it is repeated by the number of rows")
    return whole(Rows(at, inner=times, same=True), made)


def tile(call: Call) -> list[Value]:
    """Repeat whole dimensions."""
    x, shape = call.value(), call.shape()
    numbers = call.numbers(1)
    if len(numbers) != len(shape):
        raise UnclearError("how often it repeats is not known")
    times = tuple(
        each if isinstance(each, Size) else opaque(f"{call.node.outputs[0]}[{at}]", *[ROWS] * _counted(call))
        for at, each in enumerate(numbers)
    )
    made = tuple(one * two for one, two in zip(shape, times, strict=True))
    if not x.rows:
        return [Value(made) if call.bare else repeated(x, made)]
    if any(each.counts_rows for each in times):
        raise UnclearError("it repeats the rows by their number")
    return [whole(replace(x.rows, outer=x.rows.outer * times[x.rows.at]), made)]


def depth_to_space(call: Call) -> list[Value]:
    """DepthToSpace and SpaceToDepth: the batch stays where it is."""
    shape, state, block = call.shape(), call.value().state, size(int(call.attribute("blocksize", 1)))
    if len(shape) != 4:
        raise UnclearError("it reads no image")
    if call.node.operator == "DepthToSpace":
        made = (shape[0], shape[1].over(block * block), shape[2] * block, shape[3] * block)
    else:
        made = (shape[0], shape[1] * block * block, shape[2].over(block), shape[3].over(block))
    if isinstance(state, Rows) and state.at > 0:
        raise call.crossed(state, "it moves the rows into other dimensions")
    return [Value(made, state)]
