"""Convolutions, pools and resizing: windows over all dimensions behind the first two."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modeldyno.base.rowflow.records import Mode
from modeldyno.base.rowflow.sizes import ONE, ROWS, Shape, Size, opaque, size
from modeldyno.base.rowflow.values import (
    FREE,
    Call,
    Lost,
    Number,
    Rows,
    State,
    UnclearError,
    Value,
)


@dataclass(frozen=True)
class Window:
    """A window in one dimension: extent (dilated), step, padding; `end` is None where the size decides."""

    extent: int
    step: int
    begin: int
    end: int | None

    @property
    def is_point(self) -> bool:
        """Whether each number is its own window."""
        return (self.extent, self.step, self.begin, self.end or 0) == (1, 1, 0, 0)

    def along(self, length: Size, name: str, *, ceil: bool) -> Size:
        """Give how many windows there are."""
        if self.end is None:
            if length.known is not None:
                return size(-(-length.known // self.step))
            return length if self.step == 1 else opaque(f"-((-({length}))//{self.step})", length)
        room = length + size(self.begin + self.end - self.extent)
        if self.step == 1:
            return room + ONE
        exact = room.known is not None and not room.known % self.step
        if ceil and not exact:
            return opaque(f"windows of {name} over {length}", length)
        return room.over(size(self.step)) + ONE


def conv(call: Call) -> list[Value]:
    """Conv, ConvInteger, QLinearConv: W (and all behind it) is the same for all rows."""
    weights = 3 if call.node.operator == "QLinearConv" else 1
    _same_for_all(call)
    channels = call.shape(weights)[0]
    kernel = [each.known for each in call.shape(weights)[2:]]
    return [_windowed(call, _windows(call, kernel), channels)]


def conv_transpose(call: Call) -> list[Value]:
    """ConvTranspose: its sizes are not followed, its rows are."""
    _same_for_all(call)
    shape, state, weights = call.shape(), call.value().state, call.shape(1)
    channels = weights[1] * size(int(call.attribute("group", 1)))
    if isinstance(state, Rows):
        if state.at > 0:
            raise call.crossed(state, "its windows reach over the rows")
        state = state.mapped()
    made = (_spread(call, at, each) for at, each in enumerate(shape[2:]))
    return [Value((shape[0], channels, *made), state)]


def _spread(call: Call, at: int, length: Size) -> Size:
    """Give what ConvTranspose makes of a length, where its attributes say so."""
    kernel = call.shape(1)[2 + at].known
    rank = len(call.shape()) - 2
    auto = _text(call.attribute("auto_pad", "NOTSET"))
    if kernel is None or auto != "NOTSET" or "output_shape" in call.node.attributes:
        return opaque(f"size {at} of {call.node.outputs[0]}", length)
    step, wide = call.attribute("strides", [1] * rank)[at], call.attribute("dilations", [1] * rank)[at]
    pads, more = call.attribute("pads", [0] * 2 * rank), call.attribute("output_padding", [0] * rank)
    ends = more[at] - pads[at] - pads[rank + at] + (kernel - 1) * wide + 1 - step
    return length * size(int(step)) + size(int(ends))


def pool(call: Call) -> list[Value]:
    """MaxPool, AveragePool and LpPool; the places that MaxPool gives are counted over all rows."""
    found = _windowed(call, _windows(call, list(call.attribute("kernel_shape", []))), call.shape()[1])
    if len(call.node.outputs) == 1:
        return [found]
    places = found.state
    if isinstance(places, Rows):  # counted from the front of the whole tensor, over all rows
        why = f"{call.node.words}: its places are counted over all rows"
        places = Lost(why, certain=call.mode is Mode.JOIN)
    return [found, replace(found, state=places)]


def global_pool(call: Call) -> list[Value]:
    """GlobalAveragePool and its kin: over all dimensions behind the first two."""
    shape, state = call.shape(), call.value().state
    left = (*shape[:2], *(ONE,) * (len(shape) - 2))
    if not isinstance(state, Rows):
        return [Value(left, state)]
    if state.at < 2:
        return [Value(left, state)]
    kept = {"GlobalMaxPool": state.floor, "GlobalLpPool": True}.get(call.node.operator, False)
    if call.mode is Mode.PAD and state.zero and kept:
        return [Value(left, FREE)]
    sums = call.node.operator == "GlobalLpPool" or (state.floor and call.node.operator == "GlobalMaxPool")
    raise call.crossed(state, "it pools over the rows", sums=sums)


def _same_for_all(call: Call) -> None:
    for place in range(1, len(call.values)):
        if call.has(place) and call.value(place).state is not FREE:
            raise UnclearError(f"its input {place} follows from the rows")


def _windows(call: Call, kernel: list[int | None]) -> list[Window]:
    rank = len(call.shape()) - 2
    kernel = list(call.attribute("kernel_shape", kernel))
    if len(kernel) != rank or any(each is None for each in kernel):
        raise UnclearError("its windows are not known")
    steps = call.attribute("strides", [1] * rank)
    spread = call.attribute("dilations", [1] * rank)
    pads = call.attribute("pads", [0] * 2 * rank)
    auto = _text(call.attribute("auto_pad", "NOTSET"))
    by_size = auto.startswith("SAME")
    if auto == "VALID":
        pads = [0] * 2 * rank
    return [
        Window(
            extent=(int(kernel[at] or 0) - 1) * int(spread[at]) + 1,
            step=int(steps[at]),
            begin=0 if by_size else int(pads[at]),
            end=None if by_size else int(pads[rank + at]),
        )
        for at in range(rank)
    ]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _windowed(call: Call, windows: list[Window], channels: Size) -> Value:
    shape, state, ceil = call.shape(), call.value().state, bool(call.attribute("ceil_mode", 0))
    name = call.node.outputs[0]
    lengths = [
        window.along(length, name, ceil=ceil) for window, length in zip(windows, shape[2:], strict=True)
    ]
    made: Shape = (shape[0], channels, *lengths)
    if not isinstance(state, Rows):
        return Value(made, state)
    return Value(made, _rows(call, windows, state, made))


def _rows(call: Call, windows: list[Window], rows: Rows, made: Shape) -> State:
    convolves = "Conv" in call.node.operator
    keep_zero = rows.zero and not convolves
    if rows.at == 0 or (rows.at == 1 and not convolves):
        return rows.mapped(zero=keep_zero, floor=rows.floor and not convolves)
    if rows.at == 1:
        raise call.crossed(rows, "it sums over the rows")
    window = windows[rows.at - 2]
    if window.is_point:
        return rows.mapped(zero=keep_zero, floor=rows.floor and not convolves)
    simple = rows.outer == rows.inner == ONE
    if call.mode is Mode.PAD and simple and window.end is not None and _sees_no_end(call, rows, window):
        return replace(rows.mapped(floor=rows.floor and not convolves), count=made[rows.at])
    sums = convolves or call.node.operator == "LpPool"
    raise call.crossed(rows, "its windows reach over the rows", sums=sums)


def _sees_no_end(call: Call, rows: Rows, window: Window) -> bool:
    """Whether no window of the unpadded input reads beyond it, or reads there what padding is, too."""
    if call.attribute("ceil_mode", 0):
        return False
    least = rows.count.at(call.low)
    if least is None or least + window.begin + (window.end or 0) < window.extent:
        return False  # a window larger than its input: what it gives then is not ONNX's to say
    if window.end == 0:
        return True
    if not rows.zero:
        return False
    return {
        "Conv": True,
        "MaxPool": rows.floor,
        "AveragePool": bool(call.attribute("count_include_pad", 0)),
        "LpPool": True,
    }.get(call.node.operator, False)


def resize(call: Call) -> list[Value]:
    """Resize and Upsample: along the rows nothing changes."""
    shape, state = call.shape(), call.value().state
    places = {"Upsample": (1, 9)}.get(call.node.operator, (1, 9) if call.opset < 11 else (2, 3))
    axes = [
        int(at) + len(shape) if int(at) < 0 else int(at) for at in call.attribute("axes", range(len(shape)))
    ]
    if call.attribute("keep_aspect_ratio_policy", b"stretch") not in (b"stretch", "stretch"):
        raise UnclearError("its sizes are not known")
    if call.attribute("coordinate_transformation_mode", b"") in (b"tf_crop_and_resize", "tf_crop_and_resize"):
        raise UnclearError("it cuts regions out")
    if "scales" in call.node.attributes:
        scales: tuple[Number, ...] = tuple(call.attribute("scales", ()))
        made = _scaled(call, shape, axes, scales)
    elif call.has(places[1]) and call.shape(places[1]) != (size(0),):
        scales = ()
        made = _sized(call, shape, axes, call.numbers(places[1]))
    else:
        scales = call.numbers(places[0])
        made = _scaled(call, shape, axes, scales)
    if isinstance(state, Rows) and state.at in axes:
        if scales and scales[axes.index(state.at)] is None:
            raise UnclearError("its scales are not known")
        same = scales[axes.index(state.at)] in (1.0, ONE) if scales else made[state.at] == shape[state.at]
        if not same:
            raise UnclearError("it may resize along the rows")
    return [Value(made, state.mapped() if isinstance(state, Rows) else state)]


def _sized(call: Call, shape: Shape, axes: list[int], numbers: tuple[Number, ...]) -> Shape:
    made = list(shape)
    for axis, number in zip(axes, numbers, strict=True):
        made[axis] = number if isinstance(number, Size) else opaque(f"{call.node.outputs[0]}[{axis}]", ROWS)
    return tuple(made)


def _scaled(call: Call, shape: Shape, axes: list[int], scales: tuple[Number, ...]) -> Shape:
    made = list(shape)
    for axis, scale in zip(axes, scales, strict=True):
        number = float(scale.known or 0) if isinstance(scale, Size) else scale
        if number is None:
            made[axis] = opaque(f"{call.node.outputs[0]}[{axis}]", ROWS)
        elif number.is_integer():
            made[axis] = shape[axis] * size(int(number))
        elif (known := shape[axis].known) is not None:
            made[axis] = (
                size(int(known * number))
                if (known * number).is_integer()
                else opaque(f"{call.node.outputs[0]}[{axis}]")
            )
        else:
            made[axis] = opaque(f"{shape[axis]} by {number}", shape[axis])
    return tuple(made)
