"""Programs over rows: softmax, layer norm and reductions over the last axis, one row at a time in the cache.

Every kernel takes its sums in three steps: `partial`, several vectors of running sums so that no addition
waits for the one before it; folds that halve them down to one number; and a few elements left over where a
row is no multiple of a vector. The stages carry the annotation ROW, which `rules.rows` schedules them by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tvm import te, tirx

from modeldyno.compiler.kernels.extremes import EXTREMES
from modeldyno.compiler.loops.exponential import power_of_e
from modeldyno.compiler.loops.marks import ROW

# Vectors of running sums: two additions start in each cycle and each takes four.
IN_FLIGHT = 8

Row = Callable[[Sequence[tirx.Expr]], tirx.Expr]  # row axes -> the result of the row
Read = Callable[..., tirx.Expr]  # (*row axes, column) -> element


_COMBINE: dict[str, tuple[Callable[..., tirx.Expr], Callable[..., tirx.Expr]]] = {
    "sum": (te.sum, lambda left, right: left + right),
    **{kind: (extreme.reducer, extreme.pair) for kind, extreme in EXTREMES.items()},
}


def softmax(data: te.Tensor, *, lanes: int) -> te.Tensor:
    """Softmax over the last axis: exp(x - max) / sum of them."""
    _, powers, total = _powers(data, lanes)
    one = tirx.const(1, data.dtype)
    scale = _per_row(data, lambda *row: one / total(row), "scale")
    return _per_element(data, lambda *axes: powers[axes] * scale[axes[:-1]], "softmax")


def log_softmax(data: te.Tensor, *, log: Callable[[tirx.Expr], tirx.Expr], lanes: int) -> te.Tensor:
    """x - max - log(sum of exp(x - max)) over the last axis; `log` is of one number."""
    highest, _, total = _powers(data, lanes)
    offset = _per_row(data, lambda *row: log(total(row)), "offset")
    return _per_element(
        data, lambda *axes: data[axes] - highest[axes[:-1]] - offset[axes[:-1]], "log_softmax"
    )


def layer_norm(
    data: te.Tensor, gamma: te.Tensor, beta: te.Tensor, *, epsilon: float, lanes: int
) -> te.Tensor:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis.

    The variance is of the differences from the mean, so a mean far from zero costs it no digits.
    """
    size = tirx.const(int(data.shape[-1]), data.dtype)
    total = _reduced(data, lambda *axes: data[axes], "sum", lanes)
    mean = _per_row(data, lambda *row: total(row) / size, "mean")

    def square(*axes: tirx.Expr) -> tirx.Expr:
        difference = data[axes] - mean[axes[:-1]]
        return difference * difference

    squares = _reduced(data, square, "sum", lanes)
    scale = _per_row(data, lambda *row: _inverse_root(squares(row) / size, epsilon), "scale")
    return _per_element(
        data,
        lambda *axes: (data[axes] - mean[axes[:-1]]) * scale[axes[:-1]] * gamma[axes[-1]] + beta[axes[-1]],
        "layer_norm",
    )


def rms_norm(data: te.Tensor, weight: te.Tensor, *, epsilon: float, lanes: int) -> te.Tensor:
    """X / sqrt(mean of squares + epsilon) * weight over the last axis."""
    size = tirx.const(int(data.shape[-1]), data.dtype)
    squares = _reduced(data, lambda *axes: data[axes] * data[axes], "sum", lanes)
    scale = _per_row(data, lambda *row: _inverse_root(squares(row) / size, epsilon), "scale")
    return _per_element(data, lambda *axes: data[axes] * scale[axes[:-1]] * weight[axes[-1]], "rms_norm")


def reduce_row(data: te.Tensor, *, kind: str, keep: bool, lanes: int) -> te.Tensor:
    """Sum, mean, max or min over the last axis, which stays with size 1 when `keep`.

    A maximum is no number where the first of the row is none (see `extremes`).
    """
    lead = len(data.shape) - 1
    total = _reduced(data, lambda *axes: data[axes], "sum" if kind == "mean" else kind, lanes)
    size = tirx.const(int(data.shape[-1]), data.dtype)
    shape = (*_sizes(data)[:-1], 1) if keep else _sizes(data)[:-1]

    def element(*axes: tirx.Expr) -> tirx.Expr | te.TensorSlice:
        whole = total(axes[:lead])
        if kind in EXTREMES:
            return EXTREMES[kind].pair(data[(*axes[:lead], 0)], whole)
        return whole / size if kind == "mean" else whole

    return te.compute(shape, element, name=f"row_{kind}", attrs={ROW: [lead, int(data.shape[-1])]})


def _powers(data: te.Tensor, lanes: int) -> tuple[te.Tensor, te.Tensor, Row]:
    """Give the maximum of each row, exp(x - maximum) and the function to the sums of the powers."""
    top = _reduced(data, lambda *axes: data[axes], "max", lanes)
    highest = _per_row(data, lambda *row: top(row), "highest")
    powers = _per_element(data, lambda *axes: power_of_e(data[axes] - highest[axes[:-1]], 1), "powers")
    return highest, powers, _reduced(data, lambda *axes: powers[axes], "sum", lanes)


def _inverse_root(value: tirx.Expr, epsilon: float) -> tirx.Expr:
    return tirx.const(1, "float32") / te.sqrt(value + tirx.const(epsilon, "float32"))


def _sizes(data: te.Tensor) -> tuple[int, ...]:
    # Plain numbers make loops of 32 bits: while TVM narrows longer ones, it loses the hints to its partition.
    return tuple(int(size) for size in data.shape)


def _per_row(data: te.Tensor, element: Callable[..., tirx.Expr | te.TensorSlice], name: str) -> te.Tensor:
    lead = len(data.shape) - 1
    return te.compute(_sizes(data)[:-1], element, name=name, attrs={ROW: [lead, int(data.shape[-1])]})


def _per_element(data: te.Tensor, element: Callable[..., tirx.Expr | te.TensorSlice], name: str) -> te.Tensor:
    return te.compute(
        _sizes(data), element, name=name, attrs={ROW: [len(data.shape) - 1, int(data.shape[-1])]}
    )


def _reduced(data: te.Tensor, read: Read, kind: str, lanes: int) -> Row:
    """Reduce each row of `read`; gives the function from row axes to the row's result."""
    reducer, combine = _COMBINE[kind]
    *lead, size = (int(dim) for dim in data.shape)
    whole = size // lanes * lanes
    parts: list[Row] = []
    if whole:
        folded = _fold(_partial(lead, size, read, reducer, lanes), combine, size)
        parts.append(lambda row: folded[(*row, 0)])
    if size > whole:
        step = te.reduce_axis((0, size - whole), "rest")
        rest = te.compute(
            tuple(lead),
            lambda *row: reducer(read(*row, step + whole), axis=[step]),
            name=f"{kind}_rest",
            attrs={ROW: [len(lead), size]},
        )
        parts.append(lambda row: rest[tuple(row)])
    if len(parts) == 1:
        return parts[0]
    return lambda row: combine(parts[0](row), parts[1](row))


def _partial(
    lead: list[int], size: int, read: Read, reducer: Callable[..., tirx.Expr], lanes: int
) -> te.Tensor:
    whole = size // lanes * lanes
    width = math.gcd(whole // lanes, IN_FLIGHT) * lanes
    step = te.reduce_axis((0, whole // width), "step")
    return te.compute(
        (*lead, width),
        lambda *axes: reducer(read(*axes[:-1], step * width + axes[-1]), axis=[step]),
        name="partial",
        attrs={ROW: [len(lead), size]},
    )


def _fold(partial: te.Tensor, combine: Callable[..., tirx.Expr], size: int) -> te.Tensor:
    """Halve the last axis until one number is left: a chain of vectors, then of parts of one vector."""
    *lead, width = (int(dim) for dim in partial.shape)
    while width > 1:
        width //= 2
        partial = _halved(partial, combine, (*lead, width), size)
    return partial


def _halved(
    wide: te.Tensor, combine: Callable[..., tirx.Expr], shape: tuple[int, ...], size: int
) -> te.Tensor:
    return te.compute(
        shape,
        lambda *axes: combine(wide[axes], wide[(*axes[:-1], axes[-1] + shape[-1])]),
        name="fold",
        attrs={ROW: [len(shape) - 1, size]},
    )
