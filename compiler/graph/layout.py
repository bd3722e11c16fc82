"""NHWC: convolutions read channels last, and the tensors between them stay so.

Each tensor may have a layout copy: the same values with channels last. A convolution makes one; element-wise
operators, pooling and the like, whose input has a layout copy, make theirs from it; everything else reads the
original, which is a transpose of its layout copy. What nothing reads is dropped, so in a usual vision model
two transposes are left.

TVM's own ConvertLayout crashes on tensors of other ranks between the convolutions (0.27), and knows fewer
operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tvm import relax

from modeldyno.compiler.graph.fold import as_constant, constant
from modeldyno.compiler.graph.rewrite import op_name, rewrite, shape_of

if TYPE_CHECKING:
    import tvm
    from tvm.relax.op.op_attrs import Conv2DAttrs

TO_LAST = (0, 2, 3, 1)
TO_FIRST = (0, 3, 1, 2)

# Element-wise operators of one tensor, and of two that broadcast.
UNARY = frozenset(
    f"relax.{name}"
    for name in (
        *("nn.relu", "nn.silu", "nn.gelu", "nn.gelu_tanh", "nn.leakyrelu", "nn.relu6", "nn.softplus"),
        *("sigmoid", "tanh", "exp", "erf", "sqrt", "rsqrt", "negative", "abs", "clip", "astype"),
        *("square", "log"),
    )
)
BINARY = frozenset(
    f"relax.{name}" for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")
)
_POOLS = frozenset(f"relax.nn.{name}" for name in ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"))
_REDUCTIONS = frozenset(f"relax.{name}" for name in ("mean", "sum", "max", "min"))


def is_nhwc(attrs: Conv2DAttrs) -> bool:
    """Whether a 2-D convolution reads NHWC data and OHWI weights."""
    return (str(attrs.data_layout), str(attrs.kernel_layout)) == ("NHWC", "OHWI")


def channels_last(mod: tvm.IRModule) -> tvm.IRModule:
    """Return the module with its 2-D convolutions, and what lies between them, in NHWC."""
    return rewrite(mod, _Twins().handle)


class _Twins:
    """The channels-last copy of each tensor seen so far, while one function is rewritten."""

    def __init__(self) -> None:
        self.of: dict[relax.Var, relax.Var] = {}
        self.rules: dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr | None]] = {
            "relax.nn.conv2d": self._conv2d,
            "relax.concat": self._concat,
            "relax.nn.pad": self._pad,
            "relax.permute_dims": self._permute,
            "relax.strided_slice": self._slice,
        }
        self.rules |= dict.fromkeys(UNARY, self._unary) | dict.fromkeys(BINARY, self._binary)
        self.rules |= dict.fromkeys(_POOLS, self._pool) | dict.fromkeys(_REDUCTIONS, self._reduction)

    def handle(self, builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        if _is_permute(value, TO_LAST) and self._known(value.args[0]) is not None:
            return self._known(value.args[0])
        rule = self.rules.get(op_name(value))
        twin = rule(builder, value) if rule else None
        if twin is None:
            return value
        last = builder.emit(twin)
        if len(shape_of(last) or ()) != 4:
            return last
        first = builder.emit(relax.op.permute_dims(last, TO_FIRST))
        self.of[first] = last
        return first

    def _make(self, builder: relax.BlockBuilder, expr: relax.Expr) -> relax.Expr:
        """Give the layout copy of a tensor of rank 4, by a transpose when there is none yet."""
        if expr not in self.of:
            self.of[expr] = builder.emit(relax.op.permute_dims(expr, TO_LAST))
        return self.of[expr]

    def _conv2d(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        attrs = call.attrs
        weight = constant(call.args[1])
        if weight is None or str(attrs.data_layout) != "NCHW" or str(attrs.kernel_layout) != "OIHW":
            return None
        return relax.op.nn.conv2d(
            self._make(builder, call.args[0]),
            as_constant(weight.transpose(TO_LAST)),
            strides=attrs.strides,
            padding=attrs.padding,
            dilation=attrs.dilation,
            groups=attrs.groups,
            data_layout="NHWC",
            kernel_layout="OHWI",
            out_dtype=attrs.out_dtype,
        )

    def _unary(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        twin = self._known(call.args[0])
        return None if twin is None else relax.Call(call.op, [twin, *call.args[1:]], call.attrs)

    def _binary(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        left, right = call.args
        if self._known(left) is None and self._known(right) is None:
            return None
        pair = [self._operand(builder, left), self._operand(builder, right)]
        return None if pair[0] is None or pair[1] is None else relax.Call(call.op, pair, call.attrs)

    def _operand(self, builder: relax.BlockBuilder, expr: relax.Expr) -> relax.Expr | None:
        array = constant(expr)
        if array is not None:
            # Broadcasting aligns from the right: a constant of lower rank is (…, C, H, W) with leading ones.
            if array.ndim == 0:
                return expr
            if array.ndim > 4:
                return None
            full = array.reshape((1,) * (4 - array.ndim) + array.shape)
            return as_constant(full.transpose(TO_LAST))
        known = self._known(expr)
        if known is not None:
            return known
        return self._make(builder, expr) if len(shape_of(expr) or ()) == 4 else None

    def _pool(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        if str(call.attrs.layout) != "NCHW":
            return None
        data = self._known(call.args[0])
        if data is None:
            return None
        kwargs = {name: getattr(call.attrs, name) for name in _pool_attrs(op_name(call))}
        operator = getattr(relax.op.nn, op_name(call).rsplit(".", 1)[1])
        return operator(data, **kwargs, layout="NHWC")

    def _reduction(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        twin = self._known(call.args[0])
        if twin is None or call.attrs.axis is None:
            return None
        axes = sorted(int(axis) % 4 for axis in call.attrs.axis)
        keep = bool(call.attrs.keepdims)
        # Without kept dimensions the rest must come out in the same order: true when only spatial axes go.
        if not keep and 1 in axes:
            return None
        if not keep and axes != [2, 3]:
            return None
        operator = getattr(relax.op, op_name(call).rsplit(".", 1)[1])
        return operator(twin, axis=[TO_LAST.index(axis) for axis in axes], keepdims=keep)

    def _concat(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        fields = call.args[0].fields if isinstance(call.args[0], relax.Tuple) else ()
        if not fields or all(self._known(field) is None for field in fields):
            return None
        twins = [self._operand(builder, field) for field in fields]
        if any(twin is None for twin in twins):
            return None
        return relax.op.concat(twins, axis=TO_LAST.index(int(call.attrs.axis) % 4))

    def _pad(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        widths = [int(width) for width in call.attrs.pad_width]
        if len(widths) != 8:
            return None
        pairs = [widths[2 * axis : 2 * axis + 2] for axis in TO_LAST]
        # A padding stands before a convolution in all that matters: transposing its input is the cheaper
        # side.
        data = self._make(builder, call.args[0])
        last = [width for pair in pairs for width in pair]
        return relax.op.nn.pad(data, last, str(call.attrs.pad_mode), float(call.attrs.pad_value))

    def _permute(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        """What a model moved to channels first has its layout copy before that."""
        return call.args[0] if _is_permute(call, TO_FIRST) else None

    def _slice(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        twin = self._known(call.args[0])
        if twin is None or not isinstance(call.args[1], relax.Tuple):
            return None
        axes = [TO_LAST.index(int(axis) % 4) for axis in call.args[1].fields]
        return relax.op.strided_slice(twin, axes, *call.args[2:])

    def _known(self, expr: relax.Expr) -> relax.Expr | None:
        return self.of.get(expr) if isinstance(expr, relax.Var) else None


def _is_permute(call: relax.Expr, axes: tuple[int, ...]) -> bool:
    return (
        op_name(call) == "relax.permute_dims"
        and call.attrs.axes is not None
        and tuple(int(axis) for axis in call.attrs.axes) == axes
    )


def _pool_attrs(name: str) -> tuple[str, ...]:
    if name == "relax.nn.adaptive_avg_pool2d":
        return ("output_size",)
    return ("pool_size", "strides", "padding", "dilation", "ceil_mode", "count_include_pad")
