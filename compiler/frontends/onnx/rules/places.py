"""Operators that put things in their places: Col2Im, OneHot, TensorScatter, a sized ConvTranspose, Pad."""

from __future__ import annotations

import math

import numpy as np

from modeldyno.compiler.frontends.onnx.rules.graph import Refused, Writer
from modeldyno.compiler.model.wrapped import wrapped_parts


def col2im(w: Writer) -> list[str] | None:
    """A transposed convolution: each element of a block has a filter of one 1, at its own place."""
    image, block = w.value(w.input(1)), w.value(w.input(2))
    dtype = w.dtype(w.input(0))
    if image is None or block is None or dtype.kind != "f":
        return None
    sizes = [int(size) for size in block]
    rank, places = len(sizes), math.prod(sizes)
    strides = list(w.attribute("strides", [1] * rank))
    dilations = list(w.attribute("dilations", [1] * rank))
    pads = list(w.attribute("pads", [0] * 2 * rank))
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(sizes, dilations, strict=True)]
    rooms = [int(image[a]) + pads[a] + pads[rank + a] - spans[a] for a in range(rank)]
    counts = [room // stride + 1 for room, stride in zip(rooms, strides, strict=True)]
    batch, rows, _ = w.shape(w.input(0))
    channels = rows // places
    filters = np.tile(np.eye(places).reshape(places, 1, *sizes), (channels, 1, *[1] * rank))
    put = w.op(
        "ConvTranspose",
        w.reshape(w.input(0), (batch, rows, *counts)),
        w.const(filters, dtype),
        group=channels,
        strides=strides,
        dilations=dilations,
        pads=pads,
        output_padding=[room % stride for room, stride in zip(rooms, strides, strict=True)],
    )
    return [put]


def sized_conv_transpose(w: Writer) -> list[str] | None:
    """The padding that `output_shape` asks for, by the formula of ONNX's ConvTranspose."""
    wanted = w.attribute("output_shape", None)
    if wanted is None:
        return None
    image, filters = w.shape(w.input(0)), w.shape(w.input(1))
    rank = len(image) - 2
    strides = list(w.attribute("strides", [1] * rank))
    dilations = list(w.attribute("dilations", [1] * rank))
    behind = list(w.attribute("output_padding", [0] * rank))
    begins, ends = [], []
    for axis in range(rank):
        span = (filters[2 + axis] - 1) * dilations[axis] + 1
        total = strides[axis] * (image[2 + axis] - 1) + behind[axis] + span - int(wanted[axis - rank])
        behind[axis] += max(-total, 0)
        half = max(total, 0) // 2
        upper = w.attribute("auto_pad", "NOTSET") == "SAME_UPPER"
        begins.append(half if upper else max(total, 0) - half)
        ends.append(max(total, 0) - begins[-1])
    inputs = [name for name in w.node.input if name]
    put = w.op(
        "ConvTranspose",
        *inputs,
        group=int(w.attribute("group", 1)),
        strides=strides,
        dilations=dilations,
        pads=[*begins, *ends],
        output_padding=behind,
    )
    return [put]


def wrap_pad(w: Writer) -> list[str] | None:
    """Pad with what stands at the other end: parts of the tensor, side by side.

    What negative padding cuts off comes first, as in ONNX Runtime.
    """
    pads, axes = w.value(w.input(1)), w.value(w.input(3)) if w.input(3) else None
    shape, found = w.shape(w.input(0)), w.input(0)
    if w.attribute("mode", "constant") != "wrap" or pads is None or (axes is None and w.input(3)):
        return None
    places = range(len(shape)) if axes is None else [int(axis) % len(shape) for axis in axes]
    for axis, before, after in zip(places, *np.split(pads, 2), strict=True):
        begin, end = max(0, -int(before)), shape[axis] - max(0, -int(after))
        kept = w.slice(found, axis, begin, end) if end - begin < shape[axis] else found
        parts = wrapped_parts(end - begin, max(0, int(before)), max(0, int(after)))
        cut = [w.slice(kept, axis, *part) if part != (0, end - begin) else kept for part in parts]
        found = w.op("Concat", *cut, axis=axis) if len(cut) > 1 else kept
    return [found]


def tensor_scatter(w: Writer) -> list[str] | None:
    """A choice: every place of the cache takes its row of the update, or keeps its own."""
    cache, update = w.shape(w.input(0)), w.shape(w.input(1))
    axis = int(w.attribute("axis", -2)) % len(cache)
    most, rows = cache[axis], update[axis]
    along = [most if place == axis else 1 for place in range(len(cache))]
    place = w.const(np.arange(most).reshape(along))
    circular = w.attribute("mode", "linear") == "circular"
    if w.input(2):
        begin = w.cast(w.within(2, most - 1 if circular else most - rows), np.int64)
        place = w.op("Sub", place, w.reshape(begin, (cache[0], *[1] * (len(cache) - 1))))
    zero = w.const(0)
    if circular:
        place = w.op("Where", w.op("Less", place, zero), w.op("Add", place, w.const(most)), place)
    inside = w.op("And", w.op("GreaterOrEqual", place, zero), w.op("Less", place, w.const(rows)))
    row = w.op("Max", w.op("Min", place, w.const(rows - 1)), zero)
    taken = w.op("GatherElements", w.input(1), w.op("Expand", row, w.const(list(cache))), axis=axis)
    return [w.op("Where", inside, taken, w.input(0))]


def one_hot(w: Writer) -> list[str] | None:
    """Compare each index with all places; one from the end counts back, and one beyond has no place."""
    depth = w.value(w.input(1))
    if depth is None:
        raise Refused("its depth, which is a size of the output, is not constant")
    count, rank = int(depth.reshape(-1)[0]), len(w.shape(w.input(0)))
    axis = int(w.attribute("axis", -1)) % (rank + 1)
    shape = list(w.shape(w.input(0)))
    index = w.reshape(w.cast(w.input(0), np.int64), [*shape[:axis], 1, *shape[axis:]])
    from_end = w.op("Less", index, w.const(0))
    index = w.op("Where", from_end, w.op("Add", index, w.const(count)), index)
    places = w.const(np.arange(count).reshape([-1 if at == axis else 1 for at in range(rank + 1)]))
    off, on = (w.reshape(w.slice(w.input(2), 0, at, at + 1), []) for at in (0, 1))
    return [w.op("Where", w.op("Equal", index, places), on, off)]
