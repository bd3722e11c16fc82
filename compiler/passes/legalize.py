"""From operators to kernels: our own where time goes, TVM's for the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tvm import relax

from compiler.passes.fast_math import FAST_MATH
from compiler.passes.fold import as_constant, constant
from compiler.passes.lower import light_kernels
from compiler.passes.rewrite import shape_of
from compiler.schedules import kernels, winograd
from compiler.schedules.machine import Machine

# TVM's number for "sums, then takes element-wise work into its tile": what FuseOps goes by.
OUT_FUSABLE = 4


def legalize(mod: Any, machine: Machine) -> Any:
    """Give each operator a tensor program; operators that answer none of our rules get TVM's own."""
    mine = {
        "relax.nn.conv2d": _first(_winograd, _conv2d, _depthwise, machine=machine),
        "relax.matmul": _first(_dense, _batch_matmul, machine=machine),
        **FAST_MATH,
        **light_kernels(machine),
    }
    return relax.transform.LegalizeOps(mine, enable_warning=False)(mod)


def _first(*rules: Callable[[Any, Any, Machine], Any], machine: Machine) -> Callable[[Any, Any], Any]:
    def legalize_call(builder: Any, call: Any) -> Any:
        for rule in rules:
            answer = rule(builder, call, machine)
            if answer is not None:
                return answer
        # What no rule answers stays an operator: relax.build legalizes again, with TVM's own kernels.
        return call

    return legalize_call


def _winograd(builder: Any, call: Any, machine: Machine) -> Any:
    attrs, weight, out = call.attrs, constant(call.args[1]), shape_of(call)
    if weight is None or out is None or not _is_nhwc(attrs) or int(attrs.groups) != 1 or not _is_float(call):
        return None
    geometry = _geometry(attrs)
    if weight.shape[1:3] != (3, 3) or geometry.strides != (1, 1) or geometry.dilation != (1, 1):
        return None
    tiling = winograd.choose_tiling(machine, (out[1], out[2]), weight.shape[3], weight.shape[0])
    if tiling is None:
        return None
    packed = winograd.pack_winograd_weight(weight, tiling.side, tiling.columns)
    return builder.call_te(
        partial(winograd.winograd_conv2d, geometry=geometry, tiling=tiling),
        call.args[0],
        as_constant(packed),
        channels=weight.shape[0],
        primfunc_name_hint="winograd_conv2d",
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )


def _conv2d(builder: Any, call: Any, machine: Machine) -> Any:
    attrs, weight = call.attrs, constant(call.args[1])
    if weight is None or not _is_nhwc(attrs) or int(attrs.groups) != 1 or not _is_float(call):
        return None
    channels, width = weight.shape[0], (shape_of(call) or (0, 0, 0))[2]
    columns = machine.column_tile(channels)
    packed = kernels.pack_conv_weight(weight, columns)
    # call_te takes tensors and plain numbers only: the geometry is bound before.
    return builder.call_te(
        partial(kernels.conv2d, geometry=_geometry(attrs)),
        call.args[0],
        as_constant(packed),
        channels=channels,
        rows=machine.row_tile(width, columns),
        primfunc_name_hint="conv2d",
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )


def _depthwise(builder: Any, call: Any, machine: Machine) -> Any:
    attrs, weight = call.attrs, constant(call.args[1])
    data, out = shape_of(call.args[0]), shape_of(call)
    if weight is None or data is None or out is None or not _is_nhwc(attrs) or not _is_float(call):
        return None
    channels = data[3]
    if not int(attrs.groups) == channels == weight.shape[0] or channels % machine.lanes:
        return None
    columns = machine.lanes * 2 if channels % (machine.lanes * 2) == 0 else machine.lanes
    return builder.call_te(
        partial(kernels.depthwise_conv2d, geometry=_geometry(attrs)),
        call.args[0],
        as_constant(weight[..., 0].transpose(1, 2, 0)),
        rows=machine.row_tile(out[2], columns),
        columns=columns,
        primfunc_name_hint="depthwise_conv2d",
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )


def _dense(builder: Any, call: Any, machine: Machine) -> Any:
    weight, data = constant(call.args[1]), shape_of(call.args[0])
    if weight is None or weight.ndim != 2 or data is None or len(data) < 2 or not _is_float(call):
        return None
    width = weight.shape[1]
    columns = machine.column_tile(width)
    return builder.call_te(
        kernels.dense,
        call.args[0],
        as_constant(kernels.pack_matrix(weight, columns)),
        width=width,
        rows=machine.row_tile(data[-2], columns),
        primfunc_name_hint="dense",
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )


def _batch_matmul(builder: Any, call: Any, machine: Machine) -> Any:
    left, right = shape_of(call.args[0]), shape_of(call.args[1])
    if left is None or right is None or len(left) != len(right) or len(left) < 3 or not _is_float(call):
        return None
    if left[:-2] != right[:-2]:
        return None
    # One vector too many costs less than half the tile's reuse: 2 vectors unless the second would be all
    # padding.
    columns = machine.lanes * 2 if -right[-1] % (machine.lanes * 2) < machine.lanes else machine.lanes
    return builder.call_te(
        kernels.batch_matmul,
        call.args[0],
        call.args[1],
        rows=machine.row_tile(left[-2], columns),
        columns=columns,
        primfunc_name_hint="batch_matmul",
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )


def _geometry(attrs: Any) -> kernels.Geometry:
    step_h, step_w = (int(size) for size in attrs.strides)
    top, left, bottom, right = (int(size) for size in attrs.padding)
    gap_h, gap_w = (int(size) for size in attrs.dilation)
    return kernels.Geometry((step_h, step_w), (top, left, bottom, right), (gap_h, gap_w))


def _is_nhwc(attrs: Any) -> bool:
    return (str(attrs.data_layout), str(attrs.kernel_layout)) == ("NHWC", "OHWI")


def _is_float(call: Any) -> bool:
    return str(call.ty.dtype) == "float32"
