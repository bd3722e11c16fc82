"""Largest and smallest: of two tensors, over axes, and the place where they stand, with NaN and infinities.

A maximum begins with -inf (TVM's own with the least finite number, which is what a masked row would come out
as). Over axes the first element alone decides whether the result is no number: a NaN there stays, any other
is passed over, as in ONNX Runtime, whose loops begin with that element. Over windows every NaN is passed
over. Between two tensors NaN always stays.

The processor's max(a, b) gives b where either is no number, and `tirx.max` is that instruction: the order of
the arguments is what passes a NaN over for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tvm import te, tirx, topi

Pair = Callable[[tirx.Expr, tirx.Expr], tirx.Expr]


# TVM asks a combiner for its number of arguments, and tirx.max doesn't say.
def higher(kept: tirx.Expr | te.TensorSlice, new: tirx.Expr | te.TensorSlice) -> tirx.Expr:
    """Give the larger number; `kept` where `new` is none, and where `kept` is none too."""
    return tirx.max(new, kept)


def lower(kept: tirx.Expr | te.TensorSlice, new: tirx.Expr | te.TensorSlice) -> tirx.Expr:
    """Give the smaller number; `kept` where `new` is none, and where `kept` is none too."""
    return tirx.min(new, kept)


def _reducer(combine: Pair, least: Callable[[str], tirx.Expr], sign: int) -> Callable[..., tirx.Expr]:
    def begin(dtype: str) -> tirx.Expr:
        return tirx.const(sign * math.inf, dtype) if is_float(dtype) else least(dtype)

    return te.comm_reducer(combine, begin)


@dataclass(frozen=True)
class Extreme:
    """Max or min: of two numbers, as a reduction, TVM's own reduction, and its own of two tensors."""

    pair: Pair
    reducer: Callable[..., tirx.Expr]
    plain: Callable[..., tirx.Expr]  # of whole numbers: TVM knows it, and can split it into partial results
    native: Pair


EXTREMES = {
    "max": Extreme(higher, _reducer(higher, tirx.min_value, -1), te.max, tirx.max),
    "min": Extreme(lower, _reducer(lower, tirx.max_value, 1), te.min, tirx.min),
}


def is_float(dtype: object) -> bool:
    """Whether a type has infinities."""
    return "float" in str(dtype)


def of_two(left: te.Tensor, right: te.Tensor, *, kind: str) -> te.Tensor:
    """Max or min of two tensors that broadcast; what is no number in either is none in the result."""
    native = EXTREMES[kind].native
    if not is_float(left.dtype):
        return topi.maximum(left, right) if kind == "max" else topi.minimum(left, right)

    infinite = tirx.const(math.inf, left.dtype)

    def element(a: tirx.Expr | te.TensorSlice, b: tirx.Expr | te.TensorSlice) -> tirx.Expr | te.TensorSlice:
        # Not by isnan, of which LLVM makes a branch where `a` takes long.
        return tirx.Select(tirx.abs(a) <= infinite, native(a, b), a)

    return _broadcast(left, right, element, name=f"{kind}imum")


def with_number(data: te.Tensor, *, number: float, kind: str) -> te.Tensor:
    """Max or min of a tensor and one number, which is no NaN: one instruction, and NaN stays."""
    native = EXTREMES[kind].native
    limit = tirx.const(number, data.dtype)
    return te.compute(data.shape, lambda *axes: native(limit, data[axes]), name=f"{kind}imum")


def _broadcast(left: te.Tensor, right: te.Tensor, element: Pair, name: str) -> te.Tensor:
    shape = [int(size) for size in topi.add(left, right).shape]

    def read(data: te.Tensor, axes: Sequence[tirx.Var]) -> tirx.Expr | te.TensorSlice:
        own = axes[len(axes) - len(data.shape) :]
        places = [0 if int(size) == 1 else axis for size, axis in zip(data.shape, own, strict=True)]
        return data[tuple(places)]

    return te.compute(shape, lambda *axes: element(read(left, axes), read(right, axes)), name=name)


def over_axes(data: te.Tensor, *, kind: str, axes: Sequence[int], keep: bool, lanes: int) -> te.Tensor:
    """Max or min over axes (each counted from the front); they stay with size 1 when `keep`."""
    whole = _reduced(data, kind, axes, lanes)
    first = _shape(data, axes, keep)

    def element(*places: tirx.Var) -> tirx.Expr | te.TensorSlice:
        lead = _lead(places, axes) if keep else places
        if not is_float(data.dtype):
            return whole[tuple(lead)]
        # A NaN at the first place stays: `pair` keeps it.
        return EXTREMES[kind].pair(data[_filled(lead, axes, len(data.shape))], whole[tuple(lead)])

    return te.compute(first, element, name=f"{kind}_over_axes")


@dataclass(frozen=True)
class Window:
    """A window over the last axes, one number of each for an axis; padding is (before, after)."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    out: tuple[int, ...]


def over_windows(data: te.Tensor, *, window: Window) -> te.Tensor:
    """Maximum of each window of float data; places outside, and what is no number, are never it."""
    spatial = len(window.size)
    lead = [int(size) for size in data.shape[:-spatial]]
    sizes = [int(size) for size in data.shape[-spatial:]]
    least = tirx.const(-math.inf, data.dtype)
    wide = [
        max(size + sum(pad), (out - 1) * step + (taps - 1) * gap + 1)
        for size, pad, out, step, taps, gap in zip(
            sizes, window.padding, window.out, window.strides, window.size, window.dilation, strict=True
        )
    ]

    def padded(*places: tirx.Var) -> tirx.Expr | te.TensorSlice:
        inner = [at - before for at, (before, _) in zip(places[-spatial:], window.padding, strict=True)]
        tests = [test for at, size in zip(inner, sizes, strict=True) for test in (at >= 0, at < size)]
        return tirx.if_then_else(tirx.all(*tests), data[(*places[:-spatial], *inner)], least)

    image = data if wide == sizes else te.compute((*lead, *wide), padded, name="padded")
    taps = [te.reduce_axis((0, size), f"tap{axis}") for axis, size in enumerate(window.size)]

    def element(*places: tirx.Var) -> tirx.Expr | te.TensorSlice:
        at = [
            place * step + tap * gap
            for place, step, tap, gap in zip(
                places[-spatial:], window.strides, taps, window.dilation, strict=True
            )
        ]
        return EXTREMES["max"].reducer(image[(*places[:-spatial], *at)], axis=taps)

    return te.compute((*lead, *window.out), element, name="max_pool")


def place_of(data: te.Tensor, *, kind: str, axis: int, keep: bool, last: bool, lanes: int) -> te.Tensor:
    """Where along an axis the max or min stands, int64: the first of several, or the last.

    0 where the axis has no number at all, and where its first element is none.
    """
    size = int(data.shape[axis])
    found = _reduced(data, kind, [axis], lanes)
    step = te.reduce_axis((0, size), "step")
    beyond, choose = (-1, te.max) if last else (size, te.min)

    def matching(*lead: tirx.Var) -> tirx.Expr:
        here = (*lead[:axis], step, *lead[axis:])
        number = tirx.Cast("int32", step)
        same = data[here] == found[tuple(lead)]
        return choose(tirx.Select(same, number, tirx.const(beyond, "int32")), axis=[step])

    place = te.compute(_shape(data, [axis], keep=False), matching, name="place")

    def element(*places: tirx.Var) -> tirx.Expr | te.TensorSlice:
        lead = tuple(_lead(places, [axis]) if keep else places)
        at = tirx.Cast("int64", place[lead])
        none = place[lead] == beyond
        if is_float(data.dtype):
            none = tirx.any(none, tirx.isnan(data[_filled(lead, [axis], len(data.shape))]))
        return tirx.Select(none, tirx.const(0, "int64"), at)

    return te.compute(_shape(data, [axis], keep), element, name=f"arg{kind}")


def _reduced(data: te.Tensor, kind: str, axes: Sequence[int], lanes: int) -> te.Tensor:
    """Reduce, passing NaN over; along contiguous memory as many partial results as a vector has lanes.

    Without lanes, for a GPU, the reduction is TVM's own, whose steps threads can share.
    """
    extreme = EXTREMES[kind]
    reduce = extreme.reducer if lanes and is_float(data.dtype) else extreme.plain
    rank, size = len(data.shape), int(data.shape[-1])
    steps = {axis: te.reduce_axis((0, int(data.shape[axis])), f"step{axis}") for axis in axes}
    lead = _shape(data, axes, keep=False)

    def at(
        places: Sequence[tirx.Expr], inner: Mapping[int, tirx.Expr | tirx.IterVar]
    ) -> tuple[tirx.Expr | tirx.IterVar, ...]:
        left = iter(places)
        return tuple(inner[axis] if axis in inner else next(left) for axis in range(rank))

    if rank - 1 not in axes or lanes in (0, 1, size) or size % lanes:
        return te.compute(lead, lambda *p: reduce(data[at(p, steps)], axis=list(steps.values())), name=kind)
    steps[rank - 1] = te.reduce_axis((0, size // lanes), "chunk")

    def partial(*places: tirx.Var) -> tirx.Expr:
        inner = {**steps, rank - 1: steps[rank - 1] * lanes + places[-1]}
        return reduce(data[at(places[:-1], inner)], axis=list(steps.values()))

    parts = te.compute((*lead, lanes), partial, name=f"{kind}_parts")
    lane = te.reduce_axis((0, lanes), "lane")
    return te.compute(lead, lambda *places: reduce(parts[(*places, lane)], axis=[lane]), name=kind)


def _shape(data: te.Tensor, axes: Sequence[int], keep: bool) -> tuple[int, ...]:
    sizes = [int(size) for size in data.shape]
    return tuple(1 if at in axes else size for at, size in enumerate(sizes) if keep or at not in axes)


def _lead(places: Sequence[tirx.Expr], axes: Sequence[int]) -> list[tirx.Expr]:
    return [place for at, place in enumerate(places) if at not in axes]


def _filled(lead: Sequence[tirx.Expr], axes: Sequence[int], rank: int) -> tuple[tirx.Expr | int, ...]:
    """Give the first place along the axes, at `lead` along the others."""
    left = iter(lead)
    return tuple(0 if axis in axes else next(left) for axis in range(rank))
