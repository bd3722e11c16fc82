"""Kernels of rows (softmax, norms, reductions) and of pooling; TVM's own for what is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvm import relax

from modeldyno.compiler.graph.rewrite import OUT_FUSABLE, shape_of
from modeldyno.compiler.kernels import pooling as pool
from modeldyno.compiler.kernels import rows
from modeldyno.compiler.kernels.extremes import EXTREMES
from modeldyno.compiler.lower.extremes import WINDOWS, over_axes, window_max
from modeldyno.compiler.lower.fast_math import log_of
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    import tvm
    from tvm import te

Shape = tuple[int, ...]
Legalize = Callable[[relax.BlockBuilder, relax.Call], relax.Expr]
# None: the operator stays as it is.
Rule = Callable[[relax.BlockBuilder, relax.Call, Machine], relax.Expr | None]
# TVM's number for "reduces": FuseOps computes the element-wise work before such a kernel inside it.
REDUCES = 3
EVEN_SUMS = ("sum", "mean")  # a mean of means of equally many is the mean
LONG = 4096  # terms: shorter sums lose less than the parity check tells


def light_kernels(machine: Machine) -> dict[str, Legalize]:
    """Legalization of the operators over rows and windows, for LegalizeOps; others keep what they have."""
    rules: dict[str, Rule] = {
        "relax.nn.softmax": _softmax,
        "relax.nn.log_softmax": _log_softmax,
        "relax.nn.layer_norm": _layer_norm,
        "relax.nn.rms_norm": _rms_norm,
        **dict.fromkeys(WINDOWS, _max_pool),
        "relax.nn.avg_pool2d": _average_pool,
        "relax.nn.adaptive_avg_pool2d": _adaptive_average,
        **dict.fromkeys(("relax.sum", "relax.mean", "relax.max", "relax.min"), _reduce),
    }
    return {name: _or_default(rule, machine) for name, rule in rules.items()}


def lower_rest(mod: tvm.IRModule) -> tvm.IRModule:
    """Give TVM's own kernel to every operator that is still one, so that it is fused and scheduled too."""
    return relax.transform.LegalizeOps(enable_warning=False)(mod)


def _or_default(rule: Rule, machine: Machine) -> Legalize:
    def legalize_call(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
        answer = rule(builder, call, machine)
        # What stays an operator gets TVM's own kernel in `lower_rest`.
        return call if answer is None else answer

    return legalize_call


def _over_last(call: relax.Call, axes: Sequence[int] | None) -> bool:
    """Whether a call works on float32 rows along the last axis, of fixed shape and not empty."""
    shape = shape_of(call.args[0])
    if not shape or 0 in shape or str(call.args[0].ty.dtype) != "float32" or axes is None:
        return False
    return [int(axis) % len(shape) for axis in axes] == [len(shape) - 1]


def _row_kernel(
    builder: relax.BlockBuilder, kernel: Callable[..., te.Tensor], args: list[relax.Expr], hint: str
) -> relax.Call:
    return builder.call_te(kernel, *args, primfunc_name_hint=hint, primfunc_attrs={"op_pattern": REDUCES})


def _softmax(builder: relax.BlockBuilder, call: relax.Call, machine: Machine) -> relax.Expr | None:
    if not _over_last(call, [call.attrs.axis]):
        return None
    return _row_kernel(builder, partial(rows.softmax, lanes=machine.lanes), [call.args[0]], "softmax")


def _log_softmax(builder: relax.BlockBuilder, call: relax.Call, machine: Machine) -> relax.Expr | None:
    if not _over_last(call, [call.attrs.axis]):
        return None
    kernel = partial(rows.log_softmax, log=log_of, lanes=machine.lanes)
    return _row_kernel(builder, kernel, [call.args[0]], "log_softmax")


def _layer_norm(builder: relax.BlockBuilder, call: relax.Call, machine: Machine) -> relax.Expr | None:
    attrs = call.attrs
    if not _over_last(call, attrs.axes) or not (attrs.center and attrs.scale):
        return None
    kernel = partial(rows.layer_norm, epsilon=float(attrs.epsilon), lanes=machine.lanes)
    return _row_kernel(builder, kernel, list(call.args), "layer_norm")


def _rms_norm(builder: relax.BlockBuilder, call: relax.Call, machine: Machine) -> relax.Expr | None:
    if not _over_last(call, call.attrs.axes):
        return None
    kernel = partial(rows.rms_norm, epsilon=float(call.attrs.epsilon), lanes=machine.lanes)
    return _row_kernel(builder, kernel, list(call.args), "rms_norm")


def _reduce(builder: relax.BlockBuilder, call: relax.Call, machine: Machine) -> relax.Expr | None:
    shape = shape_of(call.args[0])
    kind = str(call.op.name).rsplit(".", 1)[1]
    if (sizes := _long_sum(call, kind, shape)) is not None:
        return _in_two_stages(builder, call, machine, sizes)
    if not _over_last(call, call.attrs.axis) or shape is None or len(shape) < 2:
        return over_axes(builder, call, kind=kind, lanes=machine.lanes) if kind in EXTREMES else None
    kernel = partial(rows.reduce_row, kind=kind, keep=bool(call.attrs.keepdims), lanes=machine.lanes)
    return _row_kernel(builder, kernel, [call.args[0]], kind)


def _long_sum(call: relax.Call, kind: str, shape: Shape | None) -> tuple[int, int, int] | None:
    """Give results, parts and terms of each part of a long sum over several last axes, or over everything."""
    if kind not in EVEN_SUMS or not shape or 0 in shape or str(call.args[0].ty.dtype) != "float32":
        return None
    given = call.attrs.axis
    axes = sorted(int(axis) % len(shape) for axis in given) if given is not None else list(range(len(shape)))
    many = math.prod(shape[axis] for axis in axes)
    if axes != list(range(axes[0], len(shape))) or many < LONG or (len(axes) == 1 and len(shape) > 1):
        return None
    parts = max(size for size in range(1, math.isqrt(many) + 1) if many % size == 0)
    return math.prod(shape) // many, parts, many // parts


def _in_two_stages(
    builder: relax.BlockBuilder, call: relax.Call, machine: Machine, sizes: tuple[int, int, int]
) -> relax.Expr:
    """Sum parts, and then their sums: TVM adds everything up one by one, and loses a digit for each ten."""
    kind = str(call.op.name).rsplit(".", 1)[1]
    kernel = partial(rows.reduce_row, kind=kind, keep=False, lanes=machine.lanes)
    parted = builder.emit(relax.op.reshape(call.args[0], sizes))
    once = builder.emit(_row_kernel(builder, kernel, [parted], kind))
    twice = builder.emit(_row_kernel(builder, kernel, [once], kind))
    return relax.op.reshape(twice, call.ty.shape)


def _window(call: relax.Call) -> pool.PoolWindow | None:
    """Give the window of a pooling of float32 NHWC data of fixed shape; None for any other call."""
    attrs, shape, out = call.attrs, shape_of(call.args[0]), shape_of(call)
    layouts = {str(attrs.layout), str(attrs.out_layout) or str(attrs.layout)}
    if layouts != {"NHWC"} or shape is None or out is None or str(call.args[0].ty.dtype) != "float32":
        return None

    def pair(values: Sequence[int]) -> tuple[int, int]:
        first, second = (int(value) for value in values)
        return first, second

    top, left, bottom, right = (int(size) for size in attrs.padding)
    return pool.PoolWindow(
        pair(attrs.pool_size),
        pair(attrs.strides),
        pair(attrs.dilation),
        (top, left, bottom, right),
        (out[1], out[2]),
    )


def _pool_kernel(
    builder: relax.BlockBuilder, kernel: Callable[..., te.Tensor], data: relax.Expr, hint: str
) -> relax.Call:
    attrs = {"op_pattern": OUT_FUSABLE}
    return builder.call_te(kernel, data, primfunc_name_hint=hint, primfunc_attrs=attrs)


def _max_pool(builder: relax.BlockBuilder, call: relax.Call, _machine: Machine) -> relax.Expr | None:
    window = _window(call)
    if window is None:
        return window_max(builder, call)
    return _pool_kernel(builder, partial(pool.max_pool, window=window), call.args[0], "max_pool2d")


def _average_pool(builder: relax.BlockBuilder, call: relax.Call, _machine: Machine) -> relax.Expr | None:
    window = _window(call)
    if window is None:
        return None
    kernel = partial(pool.average_pool, window=window, count_padding=bool(call.attrs.count_include_pad))
    return _pool_kernel(builder, kernel, call.args[0], "avg_pool2d")


def _adaptive_average(builder: relax.BlockBuilder, call: relax.Call, _machine: Machine) -> relax.Expr | None:
    """Mean of even windows: what adaptive pooling is where the output's size divides the input's."""
    shape, out = shape_of(call.args[0]), shape_of(call)
    layouts = {str(call.attrs.layout), str(call.attrs.out_layout) or str(call.attrs.layout)}
    if layouts != {"NHWC"} or shape is None or out is None or str(call.args[0].ty.dtype) != "float32":
        return None
    if shape[1] % out[1] or shape[2] % out[2]:
        return None
    size = (shape[1] // out[1], shape[2] // out[2])
    window = pool.PoolWindow(size, size, (1, 1), (0, 0, 0, 0), (out[1], out[2]))
    kernel = partial(pool.average_pool, window=window, count_padding=False)
    return _pool_kernel(builder, kernel, call.args[0], "adaptive_avg_pool2d")
