"""Channel shuffles: a permutation of channels that a front end gives as five reshapes and transposes.

ShuffleNet (Zhang et al., CVPR 2018) shuffles channels between a grouped and a depthwise convolution. Around
NHWC data the chain is transpose, reshape, transpose, reshape, transpose. A depthwise convolution may as well
run before the shuffle, its filters permuted, and the grouped convolution behind it reads its channels in any
order: no shuffle is left there. Elsewhere it becomes one transpose of the last two axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tvm import relax

from modeldyno.compiler.graph.fold import as_constant, constant
from modeldyno.compiler.graph.layout import TO_FIRST, TO_LAST, is_nhwc
from modeldyno.compiler.graph.rewrite import op_name, rewrite, shape_of
from modeldyno.compiler.lower.legalize_grouped import grouped_conv2d
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    import tvm

# What each step of the chain is, the last first.
_CHAIN = ("permute_dims", "reshape", "permute_dims", "reshape", "permute_dims")
_SWAP_GROUPS = (0, 2, 1, 3, 4)


def fold_shuffles(mod: tvm.IRModule, machine: Machine) -> tvm.IRModule:
    """Give grouped convolutions behind a channel shuffle their kernel, which reads through the shuffle."""
    return rewrite(mod, _Shuffles(machine).handle)


class _Shuffles:
    """What is known of each variable while a function is rewritten."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.made: dict[
            relax.Var, relax.Call
        ] = {}  # the steps of chains, by the variable that they are bound to
        self.plain: dict[
            relax.Var, tuple[relax.Expr, int]
        ] = {}  # of what is shuffled: the same unshuffled, the groups

    def handle(self, builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        name = op_name(value)
        if name in ("relax.permute_dims", "relax.reshape"):
            source = _shuffled(value, self.made)
            bound = builder.emit(value if source is None else _swap(builder, *source))
            if source is None:
                self.made[bound] = value
            else:
                self.plain[bound] = source
            return bound
        source = self.plain.get(value.args[0]) if name and isinstance(value.args[0], relax.Var) else None
        if source is None:
            return value
        if name == "relax.nn.conv2d":
            call = builder.normalize(value)
            kernel = grouped_conv2d(builder, call, self.machine, source=source)
            if kernel is not None:
                return kernel
        unshuffled = _unshuffled(value, *source)
        if unshuffled is None:
            return value
        bound = builder.emit(value)
        self.plain[bound] = (builder.emit(unshuffled), source[1])
        return bound


def _unshuffled(value: relax.Expr, data: relax.Expr, groups: int) -> relax.Expr | None:
    """Give an operator that works on each channel by itself on unshuffled data; None for any other."""
    name, channels = op_name(value), (shape_of(data) or (0,))[-1]
    if name in ("relax.nn.relu", "relax.clip", "relax.nn.relu6"):
        return relax.Call(value.op, [data, *value.args[1:]], value.attrs)
    other = constant(value.args[1]) if name in ("relax.nn.conv2d", "relax.add", "relax.multiply") else None
    if other is None:
        return None
    # Channel c of shuffled data is channel order[c] of the data.
    order = np.arange(channels) % groups * (channels // groups) + np.arange(channels) // groups
    if name == "relax.nn.conv2d":
        if not int(value.attrs.groups) == channels == other.shape[0] or not is_nhwc(value.attrs):
            return None
        moved = np.empty_like(other)
        moved[order] = other
    else:
        if other.shape[-1:] != (channels,):
            return None
        moved = np.empty_like(other)
        moved[..., order] = other
    return relax.Call(value.op, [data, as_constant(moved)], value.attrs)


def _shuffled(value: relax.Expr, made: dict[relax.Var, relax.Call]) -> tuple[relax.Expr, int] | None:
    """Give the NHWC data that a chain shuffles, and the number of its groups."""
    steps = []
    for name in _CHAIN:
        if op_name(value) != f"relax.{name}":
            return None
        steps.append(value)
        value = made.get(value.args[0])
    last, merge, swap, split, first = steps
    axes = [tuple(int(axis) for axis in step.attrs.axes or ()) for step in (last, swap, first)]
    data, parts = shape_of(first.args[0]), shape_of(split)
    if axes != [TO_LAST, _SWAP_GROUPS, TO_FIRST] or data is None or parts is None or len(parts) != 5:
        return None
    batch, height, width, channels = data
    if (parts[0], *parts[3:]) != (batch, height, width) or shape_of(merge) != (
        batch,
        channels,
        height,
        width,
    ):
        return None
    return first.args[0], parts[1]


def _swap(builder: relax.BlockBuilder, data: relax.Expr, groups: int) -> relax.Expr:
    shape = shape_of(data) or ()
    parts = builder.emit(relax.op.reshape(data, (*shape[:3], groups, shape[3] // groups)))
    swapped = builder.emit(relax.op.permute_dims(parts, (0, 1, 2, 4, 3)))
    return relax.op.reshape(swapped, shape)
