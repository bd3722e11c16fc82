"""Kernels for the convolutions that are no plain ones: grouped and depthwise of any number of channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from modeldyno.compiler.graph.fold import Array, as_constant, constant
from modeldyno.compiler.graph.layout import is_nhwc
from modeldyno.compiler.graph.rewrite import OUT_FUSABLE, is_float32, shape_of
from modeldyno.compiler.kernels import grouped
from modeldyno.compiler.kernels.choice import BIAS_RELU, Choice, Chooser, Workload, choose
from modeldyno.compiler.kernels.convolution import Geometry
from modeldyno.compiler.lower.epilogues import Tails
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    from tvm import relax, te


def grouped_conv2d(
    builder: relax.BlockBuilder,
    call: relax.Call,
    machine: Machine,
    *,
    chooser: Chooser = choose,
    tails: Tails | None = None,
    source: tuple[relax.Expr, int] | None = None,
) -> relax.Expr | None:
    """Legalize a float32 NHWC convolution in more than one group; None for any other call.

    With `source` (data, groups), its input is that data with the channels shuffled in so many groups, and a
    depthwise convolution gets None.
    """
    attrs, weight = call.attrs, constant(call.args[1])
    data, out, groups = shape_of(call.args[0]), shape_of(call), int(attrs.groups)
    if weight is None or data is None or out is None or groups == 1 or not is_nhwc(attrs):
        return None
    if not is_float32(call) or 0 in (*data, *out):
        return None
    depthwise = groups == data[3] == weight.shape[0]
    if depthwise and source:
        return None
    geometry = Geometry.of(call.attrs)
    workload = Workload(
        kind="depthwise" if depthwise else "grouped",
        batch=data[0],
        image=(data[1], data[2]),
        out=(out[1], out[2]),
        depth=weight.shape[3],
        channels=weight.shape[0],
        kernel=(weight.shape[1], weight.shape[2]),
        strides=geometry.strides,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=groups,
        tail=tails.of(call) if tails else BIAS_RELU,
    )
    choice = chooser(workload, machine)
    if depthwise:
        return _depthwise(builder, call, weight, choice, machine)
    return _grouped(builder, call, weight, machine, choice=choice, source=source or (call.args[0], 1))


def _depthwise(
    builder: relax.BlockBuilder, call: relax.Call, weight: Array, choice: Choice, machine: Machine
) -> relax.Expr | None:
    kernel = partial(
        grouped.depthwise,
        geometry=Geometry.of(call.attrs),
        rows=choice.rows,
        vectors=choice.columns // machine.lanes,
        unroll=choice.unroll,
    )
    packed = as_constant(weight[..., 0].transpose(1, 2, 0))
    return _emit(builder, kernel, [call.args[0], packed], "depthwise_conv2d")


def _grouped(
    builder: relax.BlockBuilder,
    call: relax.Call,
    weight: Array,
    machine: Machine,
    *,
    choice: Choice,
    source: tuple[relax.Expr, int],
) -> relax.Expr | None:
    groups, channels = int(call.attrs.groups), weight.shape[0]
    size = grouped.merged_groups(groups, channels // groups, machine.lanes)
    merged = grouped.merge_groups(weight, groups, size)
    packed = as_constant(grouped.pack_groups(merged, groups // size, choice.columns))
    kernel = partial(
        grouped.grouped_conv2d,
        geometry=Geometry.of(call.attrs),
        channels=channels,
        rows=choice.rows,
        shuffle=source[1],
    )
    return _emit(builder, kernel, [source[0], packed], "grouped_conv2d")


def _emit(
    builder: relax.BlockBuilder, kernel: Callable[..., te.Tensor], args: list[relax.Expr], hint: str
) -> relax.Expr | None:
    attrs = {"op_pattern": OUT_FUSABLE}
    return builder.call_te(kernel, *args, primfunc_name_hint=hint, primfunc_attrs=attrs)
