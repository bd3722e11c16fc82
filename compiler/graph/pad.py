"""Zero padding that stands before a convolution becomes the convolution's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeldyno.compiler.graph.rewrite import op_name, rewrite

if TYPE_CHECKING:
    import tvm
    from tvm import relax


def fold_padding(mod: tvm.IRModule) -> tvm.IRModule:
    """Turn conv2d(pad(x)) into conv2d(x) with more padding, where the padding is spatial and zero."""
    pads: dict[relax.Var, relax.Call] = {}

    def handle(builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
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
