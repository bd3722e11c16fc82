"""Operators that pick or place numbers: slices, gathers, scatters, padding, resizing."""

from __future__ import annotations

from dataclasses import replace

from modeldyno.base.rowflow.elementwise import aligned
from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, ROWS, Size, cut_to, opaque, size
from modeldyno.base.rowflow.values import (
    COUNTED,
    FREE,
    Call,
    CrossedError,
    Number,
    Rows,
    State,
    UnclearError,
    Value,
    whole,
)

_END = (1 << 31) - 1  # what exporters write for "to the end" is this or more


def slice_(call: Call) -> list[Value]:
    """Cut along axes; along the rows only what keeps all of them (PAD: or their front)."""
    shape = call.shape()
    made, state = list(shape), call.value().state
    for axis, cut in cuts_of(call, len(shape)).items():
        length = shape[axis]
        made[axis] = _cut_size(length, cut)
        if isinstance(state, Rows) and state.at == axis:
            state = _cut_rows(call, state, length, (cut, made[axis]))
        elif not isinstance(state, Rows) and made[axis].counts_rows and not length.counts_rows:
            state = _cut_by_count(call, state, axis, cut)
    return [Value(tuple(made), state)]


Cut = tuple[Number, Number, int]


def cuts_of(call: Call, rank: int) -> dict[int, Cut]:
    """Give start, end and step of each axis that is cut."""
    if "starts" in call.node.attributes:
        starts = [size(int(each)) for each in call.attribute("starts", [])]
        ends = [size(int(each)) for each in call.attribute("ends", [])]
        axes, steps = call.integers(9, "axes"), None
    else:
        starts, ends = list(call.numbers(1)), list(call.numbers(2))  # type: ignore[arg-type]
        axes, steps = call.integers(3), call.integers(4)
    order = [axis + rank if axis < 0 else axis for axis in axes or range(len(starts))]
    return dict(zip(order, zip(starts, ends, steps or [1] * len(starts), strict=True), strict=True))


def _is_all(length: Size, cut: Cut) -> bool:
    start, end, step = cut
    if start != size(0) or step != 1 or not isinstance(end, Size):
        return False
    return end == length or (end.known or 0) >= _END


def _cut_size(length: Size, cut: Cut) -> Size:
    if _is_all(length, cut):
        return length
    start, end, step = cut
    known = [each.known if isinstance(each, Size) else None for each in (start, end)]
    if length.known is not None and None not in known:
        return size(len(range(*slice(known[0], known[1], step).indices(length.known))))
    if start == size(0) and step == 1 and isinstance(end, Size) and (end.known or 0) >= 0:
        # No more than there is: the rows are as many as are asked for.
        return end if end.counts_rows else cut_to(length, end)
    sources = [each for each in (length, start, end) if isinstance(each, Size)]
    unknown = [ROWS] * (len(sources) < 3)
    return opaque(f"cut of {length} from {start} to {end} by {step}", *sources, *unknown)


def _cut_rows(call: Call, rows: Rows, length: Size, how: tuple[Cut, Size]) -> State:
    cut, made = how
    start, end, step = cut
    if _is_all(length, cut):
        return rows
    first, last = (each.known if isinstance(each, Size) else None for each in (start, end))
    if first is None or last is None:
        raise UnclearError("it cuts the rows at places that are known only when it runs")
    if rows.same and (first, last, step) == (0, 1, 1):
        return FREE
    simple = rows.outer == rows.inner == ONE
    if call.mode is Mode.PAD and simple and first >= 0 and step > 0:
        if last >= _END:
            return replace(rows.mapped(zero=rows.zero, floor=rows.floor), count=made)
        if rows.count == ROWS and 0 <= last <= call.low:
            return FREE  # all of it is always there
        if last < 0:
            return replace(rows.mapped(floor=rows.floor), count=made)
    raise call.crossed(rows, "it cuts the rows")


def _cut_by_count(call: Call, state: State, axis: int, cut: Cut) -> State:
    """A table of which as much is taken as there are rows: by place, so not for joined rows."""
    start, end, step = cut
    if call.mode is Mode.PAD and state is FREE and start == size(0) and step == 1 and isinstance(end, Size):
        return Rows(axis, count=end)
    raise UnclearError("it takes as much as there are rows")


def gather(call: Call) -> list[Value]:
    """Pick along an axis: rows of a table by indices, or places within rows."""
    data, indices = call.value(0), call.value(1)
    shape, picked = call.shape(0), call.shape(1)
    axis = call.axis("axis", 0, len(shape))
    made = (*shape[:axis], *picked, *shape[axis + 1 :])
    rows, by = data.rows, indices.rows
    if rows and by:
        raise CrossedError("it picks in all rows for each row", certain=call.mode is Mode.JOIN)
    if by:
        if data.state is not FREE:
            raise UnclearError("it picks from what follows from the number of rows")
        return [whole(by.mapped().moved(axis + by.at), made)]
    if not rows:
        return [Value(made, COUNTED if COUNTED in (data.state, indices.state) else FREE)]
    if rows.at == axis:
        return [Value(made, _picked(call, rows, indices))]
    if indices.state is not FREE:
        raise UnclearError("it picks by the number of rows")
    return [Value(made, rows.moved(rows.at if rows.at < axis else rows.at + len(picked) - 1))]


def _picked(call: Call, rows: Rows, indices: Value) -> State:
    numbers = [each.known if isinstance(each, Size) else None for each in indices.numbers or (None,)]
    if any(each is None for each in numbers):
        raise UnclearError("it picks rows that are known only when it runs")
    if rows.same and set(numbers) <= {0, -1}:
        return FREE
    simple = rows.outer == rows.inner == ONE and rows.count == ROWS
    if call.mode is Mode.PAD and simple and all(0 <= (each or 0) < call.low for each in numbers):
        return FREE
    raise call.crossed(rows, "it picks single rows")


def elements(call: Call) -> list[Value]:
    """GatherElements, ScatterElements: along an axis, by indices of the same rank."""
    values = [call.value(place) for place in range(len(call.values))]
    rank = len(call.shape())
    axis = call.axis("axis", 0, rank)
    state = aligned(call, values, rank)
    made = call.shape(1) if call.node.operator == "GatherElements" else call.shape()
    if not isinstance(state, Rows):
        return [Value(made, state)]
    if state.at == axis:
        raise UnclearError("it picks among the rows")
    if any(value.rows is None for value in values):
        raise UnclearError("it reads a tensor that is the same for all rows")
    return [whole(state.mapped(), made)]


def gather_nd(call: Call) -> list[Value]:
    """GatherND: rows stay apart where they are a dimension of the batch."""
    data, indices, batch = call.value(0), call.value(1), int(call.attribute("batch_dims", 0))
    shape, picked = call.shape(0), call.shape(1)
    depth = picked[-1].known
    if depth is None:
        raise UnclearError("how deep it picks is not known")
    made = (*picked[:-1], *shape[batch + depth :])
    if not data.rows and not indices.rows:
        return [Value(made, COUNTED if COUNTED in (data.state, indices.state) else FREE)]
    if data.rows and indices.rows and data.rows.place == indices.rows.place and data.rows.at < batch:
        return [whole(indices.rows.mapped(), made)]
    if indices.rows and data.state is FREE and indices.rows.at < len(picked) - 1 and not batch:
        return [whole(indices.rows.mapped(), made)]
    raise UnclearError("it picks among the rows")


def pad(call: Call) -> list[Value]:
    """Pad with a constant; along the rows nothing (PAD: or in front of them)."""
    shape, state = call.shape(), call.value().state
    pads = call.integers(1, "pads")
    if pads is None:
        raise UnclearError("how much it pads is not known")
    axes = [at + len(shape) if at < 0 else at for at in call.integers(3) or range(len(shape))]
    made, half = list(shape), len(axes)
    for at, axis in enumerate(axes):
        made[axis] = made[axis] + size(pads[at] + pads[half + at])
    if not isinstance(state, Rows):
        return [Value(tuple(made), state)]
    if call.has(2) and call.value(2).state is not FREE:
        raise UnclearError("what it pads with follows from the rows")
    place = axes.index(state.at) if state.at in axes else None
    ends = (0, 0) if place is None else (pads[place], pads[half + place])
    return [Value(tuple(made), _padded(call, state, ends, made[state.at]))]


def _padded(call: Call, rows: Rows, ends: tuple[int, int], made: Size) -> State:
    mode = call.attribute("mode", b"constant")
    constant = mode in (b"constant", "constant")
    zeros = constant and (not call.has(2) or call.value(2).numbers in ((size(0),), (0.0,)))
    zeros = zeros and not call.attribute("value", 0)
    if ends == (0, 0):
        return replace(rows.mapped(zero=rows.zero and zeros, floor=rows.floor and zeros), same=rows.same)
    simple = rows.outer == rows.inner == ONE and min(ends) >= 0
    if call.mode is Mode.PAD and simple and constant and (ends[1] == 0 or (rows.zero and zeros)):
        return replace(
            rows.mapped(zero=rows.zero and zeros, floor=rows.floor and zeros), count=made, same=False
        )
    raise call.crossed(rows, "it pads along the rows")


def one_hot(call: Call) -> list[Value]:
    """OneHot: a new dimension."""
    x, shape = call.value(), call.shape()
    axis = call.axis("axis", -1, len(shape) + 1)
    if call.value(1).state is not FREE or call.value(2).state is not FREE:
        raise UnclearError("its depth or values follow from the rows")
    depth = call.value(1).numbers
    first = depth[0] if depth and isinstance(depth[0], Size) else opaque(f"depth of {call.node.outputs[0]}")
    made = (*shape[:axis], first, *shape[axis:])
    if x.rows is None:
        return [Value(made, x.state)]
    return [whole(x.rows.mapped().moved(x.rows.at + (axis <= x.rows.at)), made)]


def trilu(call: Call) -> list[Value]:
    """Trilu: by place in the last two dimensions."""
    shape, state = call.shape(), call.value().state
    if call.has(1) and call.value(1).state is not FREE:
        raise UnclearError("its diagonal follows from the rows")
    if isinstance(state, Rows):
        # Padding moves the places of what lies behind it: of several sets of rows, of all but the first.
        if state.at >= len(shape) - 2 and (call.mode is Mode.JOIN or state.outer != ONE):
            raise UnclearError("it goes by the places of rows")
        state = replace(
            state.mapped(zero=state.zero, floor=state.floor), same=state.same and state.at < len(shape) - 2
        )
    return [Value(shape, state)]


def grid_sample(call: Call) -> list[Value]:
    """GridSample: each image by its own grid."""
    x, grid = call.value(0), call.value(1)
    shape, places = call.shape(0), call.shape(1)
    made = (*shape[:2], *places[1:-1])
    if not x.rows and not grid.rows:
        return [Value(made, COUNTED if COUNTED in (x.state, grid.state) else FREE)]
    if x.rows and grid.rows and x.rows.place == grid.rows.place and x.rows.at == 0:
        return [whole(x.rows.mapped(), made)]
    raise UnclearError("it reads rows by places that are not theirs")
