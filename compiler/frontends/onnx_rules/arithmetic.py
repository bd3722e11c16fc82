"""Operators over numbers of any type, as the arithmetic that they are."""

from __future__ import annotations

import math

import numpy as np

from compiler.frontends.onnx_rules.graph import Writer

MOST_STEPS = 256  # of a product that is unrolled along an axis


def quantized_matmul(w: Writer) -> list[str] | None:
    """Multiply in int32, scale once in float32, round to the output's type."""
    product = w.op("MatMul", *(_centred(w, place, side) for place, side in ((0, -2), (3, -1))))
    scale = w.op("Mul", _factor(w, 1, -2), _factor(w, 4, -1))
    scaled = w.op("Div", w.op("Mul", w.cast(product, np.float32), scale), _factor(w, 6, -2))
    return [_rounded(w, scaled, 7)]


def _centred(w: Writer, place: int, side: int) -> str:
    data = w.cast(w.input(place), np.int32)
    return w.op("Sub", data, _per(w, w.cast(w.input(place + 2), np.int32), w.input(place + 2), side))


def _factor(w: Writer, place: int, side: int) -> str:
    name = w.input(place)
    given = name if w.dtype(name) == np.float32 else w.cast(name, np.float32)
    return _per(w, given, name, side)


def _per(w: Writer, name: str, given: str, side: int) -> str:
    """Give one number a row (side -2) or a column (side -1) the axis that it goes along."""
    shape = w.shape(given)
    if len(shape) != 1 or shape == (1,):
        return name
    return w.reshape(name, (-1, 1) if side == -2 else (1, -1))


def _rounded(w: Writer, scaled: str, place: int) -> str:
    zero = w.input(place)
    kind = np.iinfo(w.dtype(zero))
    moved = w.op("Add", w.op("Round", scaled), w.cast(zero, np.float32))
    low, high = w.const(kind.min, np.float32), w.const(kind.max, np.float32)
    return w.cast(w.op("Min", w.op("Max", moved, low), high), kind.dtype)


def power(w: Writer) -> list[str] | None:
    """Bring base and exponent to one type of float; the result has the base's type."""
    base, exponent = w.dtype(w.input(0)), w.dtype(w.input(1))
    if base == exponent and base.kind == "f":
        return None
    inner = base if base.kind == "f" and base.itemsize > 2 else np.dtype(np.float64)
    result = w.op("Pow", w.cast(w.input(0), inner), w.cast(w.input(1), inner))
    if base.kind in "iu":
        result = w.op("Round", result)
    return [w.cast(result, base)]


def cumulative_product(w: Writer) -> list[str] | None:
    """Multiply slice by slice along the axis."""
    shape, at = w.shape(w.input(0)), w.value(w.input(1))
    if at is None or shape[int(at.reshape(-1)[0])] > MOST_STEPS:
        return None
    axis = int(at.reshape(-1)[0]) % len(shape)
    one = [1 if number == axis else size for number, size in enumerate(shape)]
    so_far = w.op("Expand", w.const(1, w.dtype(w.input(0))), w.const(one))
    order = list(range(shape[axis]))
    order = order[::-1] if w.attribute("reverse", 0) else order
    parts: dict[int, str] = {}
    for step in order:
        new = w.op("Mul", so_far, w.slice(w.input(0), axis, step, step + 1))
        parts[step] = so_far if w.attribute("exclusive", 0) else new
        so_far = new
    return [w.op("Concat", *(parts[step] for step in range(shape[axis])), axis=axis)]


def lp_norm(w: Writer) -> list[str] | None:
    """Divide by the 1-norm or 2-norm along the axis; where that is 0 the result is 0."""
    name, dtype = w.input(0), w.dtype(w.input(0))
    kind = "ReduceL2" if int(w.attribute("p", 2)) == 2 else "ReduceL1"
    size = w.reduce(kind, name, [int(w.attribute("axis", -1))])
    zero = w.const(0, dtype)
    safe = w.op("Where", w.op("Equal", size, zero), w.const(1, dtype), size)
    return [w.op("Div", name, safe)]


def is_infinite(w: Writer) -> list[str] | None:
    """Tell the infinities that the node asks for."""
    positive, negative = (bool(w.attribute(f"detect_{sign}", 1)) for sign in ("positive", "negative"))
    if positive and negative:
        return None
    name, dtype = w.input(0), w.dtype(w.input(0))
    if not positive and not negative:
        return [w.op("Expand", w.const(False, np.bool_), w.const(list(w.shape(name))))]
    return [w.op("Equal", name, w.const(np.inf if positive else -np.inf, dtype))]


def batch_norm(w: Writer) -> list[str] | None:
    """Normalize by the batch's own statistics, and mix these into the running ones."""
    if not w.attribute("training_mode", 0):
        return None
    name = w.input(0)
    shape, dtype = w.shape(name), w.dtype(name)
    axes = [axis for axis in range(len(shape)) if axis != 1]
    per = (1, shape[1], *(1 for _ in shape[2:]))
    mean = w.reduce("ReduceMean", name, axes)
    centred = w.op("Sub", name, mean)
    variance = w.reduce("ReduceMean", w.op("Mul", centred, centred), axes)
    epsilon = w.const(float(w.attribute("epsilon", 1e-5)), dtype)
    scaled = w.op("Div", centred, w.op("Sqrt", w.op("Add", variance, epsilon)))
    out = w.op("Add", w.op("Mul", scaled, w.reshape(w.input(1), per)), w.reshape(w.input(2), per))
    share = float(w.attribute("momentum", 0.9))
    running = []
    for old, new in ((w.input(3), mean), (w.input(4), variance)):
        kept = w.op("Mul", old, w.const(share, dtype))
        running.append(w.op("Add", kept, w.op("Mul", w.reshape(new, shape[1:2]), w.const(1 - share, dtype))))
    return [out, *running]


def reduce_bool(w: Writer) -> list[str] | None:
    """Reduce truth values as small integers."""
    if w.dtype(w.input(0)) != np.bool_ or w.node.op_type not in ("ReduceMax", "ReduceMin"):
        return None
    axes = w.attribute("axes") if w.opset < 18 else w.value(w.input(1)) if w.input(1) else []
    if axes is None:
        return None
    data = w.cast(w.input(0), np.int32)
    wanted = [int(axis) for axis in axes] or list(range(len(w.shape(w.input(0)))))
    found = w.reduce(w.node.op_type, data, wanted, keep=bool(w.attribute("keepdims", 1)))
    return [w.cast(found, np.bool_)]


def eye_like(w: Writer) -> list[str] | None:
    """Give the diagonal as a constant: it is known when the shape is."""
    rows, columns = w.shape(w.input(0))
    kind = w.attribute("dtype")
    from onnx import helper

    dtype = w.dtype(w.input(0)) if kind is None else helper.tensor_dtype_to_np_dtype(int(kind))
    return [w.const(np.eye(rows, columns, int(w.attribute("k", 0))), dtype)]


def split(w: Writer) -> list[str] | None:
    """Give each part as a slice."""
    sizes = w.value(w.input(1)) if w.input(1) else w.attribute("split")
    if sizes is None:
        return None
    axis, begin, parts = int(w.attribute("axis", 0)) % len(w.shape(w.input(0))), 0, []
    for size in sizes:
        parts.append(w.slice(w.input(0), axis, begin, begin + int(size)))
        begin += int(size)
    return parts


def has_empty_part(w: Writer) -> bool:
    """Whether a part of Split has no elements, which the front end can't say."""
    sizes = w.value(w.input(1)) if w.input(1) else w.attribute("split")
    return sizes is not None and 0 in [int(size) for size in sizes]


def dropout(w: Writer) -> list[str] | None:
    """Let all through, as in inference; the mask says so."""
    training = w.value(w.input(2)) if w.input(2) else np.array(False)
    if training is None or bool(training):
        return None
    mask = w.op("Expand", w.const(True, np.bool_), w.const(list(w.shape(w.input(0)))))
    return [w.op("Identity", w.input(0)), mask]


# What a reduction of one element is, with how many times the element goes in.
_OF_ONE = {"L1": ("Abs", 1), "L2": ("Abs", 1), "SumSquare": ("Mul", 2), "LogSum": ("Log", 1)}
_OF_NOTHING = {"Max": -np.inf, "Min": np.inf, "Prod": 1, "LogSum": -np.inf, "LogSumExp": -np.inf}


def is_empty(w: Writer) -> bool:
    """Whether a reduction reads a tensor without elements: TVM's code would write nothing."""
    return 0 in w.shape(w.input(0))


def reduction_is_misread(w: Writer) -> bool:
    """Whether TVM would read a reduction wrongly: of nothing, of truth values, over no axis, a whole mean."""
    return is_empty(w) or w.dtype(w.input(0)) == np.bool_ or _over_no_axis(w) or _is_whole_mean(w)


def _over_no_axis(w: Writer) -> bool:
    kind = w.node.op_type.removeprefix("Reduce")
    axes = w.value(w.input(1)) if w.input(1) else w.attribute("axes", ())
    nowhere = axes is not None and len(axes) == 0 and bool(w.attribute("noop_with_empty_axes", 0))
    return nowhere and kind in _OF_ONE


def _is_whole_mean(w: Writer) -> bool:
    return w.node.op_type == "ReduceMean" and w.dtype(w.input(0)).kind in "iu"


def _whole_mean(w: Writer) -> list[str] | None:
    """Divide the sum of whole numbers by their count, towards zero."""
    shape = w.shape(w.input(0))
    axes = w.value(w.input(1)) if w.input(1) else w.attribute("axes", [])
    if axes is None:
        return None
    if len(axes) == 0 and w.attribute("noop_with_empty_axes", 0):
        return [w.op("Identity", w.input(0))]
    wanted = [int(axis) for axis in axes] or list(range(len(shape)))
    total = w.reduce("ReduceSum", w.input(0), wanted, keep=bool(w.attribute("keepdims", 1)))
    size = math.prod(shape[axis] for axis in wanted)
    return [w.op("Div", total, w.const(size, w.dtype(w.input(0))))]


def reduce_nothing(w: Writer) -> list[str] | None:
    """Reduce truth values as integers, and a tensor without elements to what the reduction begins with.

    Over no axis at all, the function of one element is left; a mean of whole numbers is one too.
    """
    if not is_empty(w):
        if _over_no_axis(w):
            kind, twice = _OF_ONE[w.node.op_type.removeprefix("Reduce")]
            return [w.op(kind, *[w.input(0)] * twice)]
        return _whole_mean(w) if _is_whole_mean(w) else reduce_bool(w)
    shape, dtype = w.shape(w.input(0)), w.dtype(w.input(0))
    axes = w.value(w.input(1)) if w.input(1) else w.attribute("axes", [])
    if axes is None:
        return None
    wanted = {int(axis) % len(shape) for axis in axes} or (
        set() if w.attribute("noop_with_empty_axes", 0) else set(range(len(shape)))
    )
    keep = bool(w.attribute("keepdims", 1))
    out = [1 if at in wanted else size for at, size in enumerate(shape) if keep or at not in wanted]
    begin = _OF_NOTHING.get(w.node.op_type.removeprefix("Reduce"), 0)
    if dtype.kind in "iu" and not np.isfinite(begin):
        begin = np.iinfo(dtype).min if begin < 0 else np.iinfo(dtype).max
    return [w.op("Expand", w.const(begin, dtype), w.const(out))]
