"""Operators over numbers of any type, as the arithmetic that they are."""

from __future__ import annotations

import numpy as np

from modeldyno.compiler.frontends.onnx.rules.graph import Refused, Writer

MOST_STEPS = 256  # of a product that is unrolled along an axis
SORTED = tuple(map(np.dtype, ("float32", "float64", "int32", "int64")))  # what TVM's TopK takes


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
        result = _cut_off(w, result)
    return [w.cast(result, base)]


def _cut_off(w: Writer, name: str) -> str:
    """Round what is a whole number but for the last places of float64; a cast cuts off the rest."""
    whole = w.op("Round", name)
    off = w.op("Abs", w.op("Sub", name, whole))
    room = w.op("Mul", w.op("Abs", whole), w.const(1e-12, np.float64))
    return w.op("Where", w.op("Less", off, room), whole, name)


def equal_truth(w: Writer) -> list[str] | None:
    """Truth values are equal where just one of them is not true alone."""
    if w.dtype(w.input(0)) != np.bool_:
        return None
    return [w.op("Not", w.op("Xor", w.input(0), w.input(1)))]


def sign(w: Writer) -> list[str] | None:
    """Numbers without a sign are 0 or above."""
    dtype = w.dtype(w.input(0))
    return [w.cast(w.op("Greater", w.input(0), w.const(0, dtype)), dtype)] if dtype.kind == "u" else None


def top_k(w: Writer) -> list[str] | None:
    """Sort short integers as longer ones.

    Raises:
        Refused: no longer type holds them.
    """
    dtype = w.dtype(w.input(0))
    if dtype in SORTED:
        return None
    if dtype.kind not in "iu" or dtype.itemsize > 4:
        raise Refused(f"{dtype.name} can't be sorted; cast to float32 or int64 first")
    inner = np.int32 if dtype.itemsize < 4 else np.int64
    inputs = [w.cast(w.input(0), inner), *w.node.input[1:]]
    values, places = w.ops("TopK", *inputs, outputs=2, **w.attributes)
    return [w.cast(values, dtype), places]


def cumulative_product(w: Writer) -> list[str] | None:
    """Multiply slice by slice along the axis."""
    shape, at = w.shape(w.input(0)), w.value(w.input(1))
    if at is None:
        return None
    if (steps := shape[int(at.reshape(-1)[0])]) > MOST_STEPS:
        raise Refused(f"{steps} steps along its axis; the most that is unrolled is {MOST_STEPS}")
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
