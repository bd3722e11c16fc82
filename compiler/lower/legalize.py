"""From operators to kernels: our own where time goes, TVM's for the rest."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from tvm import relax

from modeldyno.compiler.graph.clip import clamp_kernels
from modeldyno.compiler.graph.fold import Array, as_constant, constant
from modeldyno.compiler.graph.layout import is_nhwc
from modeldyno.compiler.graph.rewrite import OUT_FUSABLE, is_float32, shape_of
from modeldyno.compiler.graph.slices import open_slice
from modeldyno.compiler.kernels import convolution as kernels
from modeldyno.compiler.kernels import winograd
from modeldyno.compiler.kernels.choice import Choice, Chooser, Workload, choose
from modeldyno.compiler.lower.concat import concat_kernel, flatten_concats
from modeldyno.compiler.lower.epilogues import Tails
from modeldyno.compiler.lower.extremes import extreme_kernels
from modeldyno.compiler.lower.fast_math import FAST_MATH
from modeldyno.compiler.lower.legalize_grouped import grouped_conv2d
from modeldyno.compiler.lower.rest import Legalize, Rule, light_kernels
from modeldyno.compiler.lower.shuffle import fold_shuffles
from modeldyno.compiler.lower.take import plain_take
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    import tvm


def legalize(mod: tvm.IRModule, machine: Machine, chooser: Chooser = choose) -> tvm.IRModule:
    """Give each operator a tensor program; operators that answer none of our rules get TVM's own."""
    ready = flatten_concats(fold_shuffles(mod, machine))
    how: dict[str, Any] = {"chooser": chooser, "tails": Tails(ready)}
    mine = {
        "relax.nn.conv2d": _first(partial(_conv2d, **how), partial(grouped_conv2d, **how), machine=machine),
        "relax.matmul": _first(partial(_dense, **how), _batch_matmul, machine=machine),
        **FAST_MATH,
        **clamp_kernels(),
        **extreme_kernels(machine.lanes),
        **light_kernels(machine),
        "relax.concat": concat_kernel,
        "relax.dynamic_strided_slice": open_slice,
        "relax.take": plain_take,
    }
    return relax.transform.LegalizeOps(mine, enable_warning=False)(ready)


def _first(*rules: Rule, machine: Machine) -> Legalize:
    def legalize_call(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
        for rule in rules:
            answer = rule(builder, call, machine)
            if answer is not None:
                return answer
        # What no rule answers stays an operator: lower_rest gives it TVM's own kernel.
        return call

    return legalize_call


def _conv2d(
    builder: relax.BlockBuilder, call: relax.Call, machine: Machine, chooser: Chooser, tails: Tails
) -> relax.Expr | None:
    attrs, weight = call.attrs, constant(call.args[1])
    data, out = shape_of(call.args[0]), shape_of(call)
    if weight is None or data is None or out is None or not is_nhwc(attrs) or not is_float32(call):
        return None
    if int(attrs.groups) != 1:
        return None
    geometry = kernels.Geometry.of(attrs)
    workload = Workload(
        kind="conv2d",
        batch=data[0],
        image=(data[1], data[2]),
        out=(out[1], out[2]),
        depth=data[3],
        channels=weight.shape[0],
        kernel=(weight.shape[1], weight.shape[2]),
        strides=geometry.strides,
        padding=geometry.padding,
        dilation=geometry.dilation,
        tail=tails.of(call),
    )
    return _emit_conv2d(builder, call.args[0], weight, geometry, chooser(workload, machine))


def _emit_conv2d(
    builder: relax.BlockBuilder, data: relax.Expr, weight: Array, geometry: kernels.Geometry, choice: Choice
) -> relax.Expr | None:
    # call_te takes tensors and plain numbers only: the geometry is bound before.
    if choice.winograd is not None:
        name, kernel = "winograd_conv2d", partial(winograd.winograd_conv2d, tiling=choice.winograd)
        packed = winograd.pack_winograd_weight(weight, choice.winograd.side, choice.columns)
    else:
        name, kernel = "conv2d", partial(kernels.conv2d, rows=choice.rows, block=choice.block)
        packed = kernels.pack_conv_weight(weight, choice.columns)
    return builder.call_te(
        partial(kernel, geometry=geometry, channels=weight.shape[0]),
        data,
        as_constant(packed),
        primfunc_name_hint=name,
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )


def _dense(
    builder: relax.BlockBuilder, call: relax.Call, machine: Machine, chooser: Chooser, tails: Tails
) -> relax.Expr | None:
    weight, data = constant(call.args[1]), shape_of(call.args[0])
    if weight is None or weight.ndim != 2 or data is None or len(data) < 2 or not is_float32(call):
        return None
    depth, width = weight.shape
    workload = Workload(
        kind="dense",
        batch=math.prod(data[:-2]),
        image=(1, data[-2]),
        out=(1, data[-2]),
        depth=depth,
        channels=width,
        tail=tails.of(call),
    )
    choice = chooser(workload, machine)
    return builder.call_te(
        kernels.dense,
        call.args[0],
        as_constant(kernels.pack_matrix(weight, choice.columns)),
        width=width,
        rows=choice.rows,
        block=choice.block,
        primfunc_name_hint="dense",
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )


def _batch_matmul(builder: relax.BlockBuilder, call: relax.Call, machine: Machine) -> relax.Expr | None:
    left, right = shape_of(call.args[0]), shape_of(call.args[1])
    if left is None or right is None or len(left) != len(right) or len(left) < 3 or not is_float32(call):
        return None
    if left[:-2] != right[:-2]:
        return None
    # One vector too many costs less than half the tile's reuse: 2 unless the second would be all padding.
    columns = machine.lanes * 2 if -right[-1] % (machine.lanes * 2) < machine.lanes else machine.lanes
    return builder.call_te(
        kernels.batch_matmul,
        call.args[0],
        call.args[1],
        rows=min(left[-2], machine.most_rows(columns)),
        columns=columns,
        primfunc_name_hint="batch_matmul",
        primfunc_attrs={"op_pattern": OUT_FUSABLE},
    )
