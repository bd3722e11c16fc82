"""Zero padding that stands before a convolution becomes the convolution's own; circular padding is slices.

TVM computes places of circular padding by remainders, and mistakes those of several axes for one another
(`tirx.FlattenBuffer` on a loop over both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.compiler.graph.rewrite import op_name, rewrite, shape_of
from modeldyno.compiler.model.wrapped import wrapped_parts

if TYPE_CHECKING:
    import tvm
    from tvm import relax


def fold_padding(mod: tvm.IRModule) -> tvm.IRModule:
    """Turn conv2d(pad(x)) into conv2d(x) with more padding, where the padding is spatial and zero."""
    pads: dict[relax.Var, relax.Call] = {}

    def handle(builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        if op_name(value) == "relax.nn.pad" and _wraps(value):
            return _side_by_side(builder, value)
        if op_name(value) == "relax.nn.pad" and _spatial_zeros(value):
            bound = builder.emit(value)
            pads[bound] = value
            return bound
        if op_name(value) == "relax.nn.conv2d" and value.args[0] in pads:
            return _with_padding(value, pads[value.args[0]])
        return value

    return rewrite(mod, handle)


def _spatial_zeros(call: relax.Call) -> bool:
    widths = [int(width) for width in call.attrs.pad_width]
    is_zero = str(call.attrs.pad_mode) == "constant" and float(call.attrs.pad_value) == 0.0
    return is_zero and len(widths) == 8 and not any(widths[:4]) and min(widths) >= 0


def _with_padding(conv: relax.Call, pad: relax.Call) -> relax.Call:
    from tvm import relax

    attrs = conv.attrs
    if str(attrs.data_layout) != "NCHW":
        return conv
    top, bottom, left, right = (int(width) for width in list(pad.attrs.pad_width)[4:])
    own = [int(size) for size in attrs.padding]  # top, left, bottom, right
    return relax.op.nn.conv2d(
        pad.args[0],
        conv.args[1],
        strides=attrs.strides,
        padding=[own[0] + top, own[1] + left, own[2] + bottom, own[3] + right],
        dilation=attrs.dilation,
        groups=attrs.groups,
        data_layout="NCHW",
        kernel_layout=attrs.kernel_layout,
        out_dtype=attrs.out_dtype,
    )


def _wraps(call: relax.Call) -> bool:
    shape = shape_of(call.args[0])
    widths = [int(width) for width in call.attrs.pad_width]
    return str(call.attrs.pad_mode) == "circular" and bool(shape) and min((*widths, *(shape or ()))) >= 0


def _side_by_side(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """Write circular padding as parts of the tensor, axis by axis."""
    from tvm import relax

    found, widths = call.args[0], [int(width) for width in call.attrs.pad_width]
    for axis, size in enumerate(shape_of(call.args[0]) or ()):
        before, after = widths[2 * axis : 2 * axis + 2]
        if before or after:
            parts = [
                builder.emit(relax.op.strided_slice(found, [axis], [begin], [end]))
                for begin, end in wrapped_parts(size, before, after)
            ]
            found = builder.emit(relax.op.concat(parts, axis=axis))
    return found
