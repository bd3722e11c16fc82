"""Convolutions of one and three axes, and transposed ones, as plain 2-D ones, which have fast kernels.

    conv1d             on images of height 1
    conv3d             the slices under the filter's depth side by side as channels, depth as the batch
    conv2d_transpose   the phases of its stride as channels of one convolution, then interleaved

A tensor of one or three spatial axes has a flat copy of two (NCW as NC1W, NCDHW as (N D) C H W), on which
element-wise operators, norms and poolings between convolutions work too: a network of them becomes one of
2-D convolutions. Only constant weights: they are turned here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tvm import relax

from modeldyno.compiler.graph.fold import Array, as_constant, constant
from modeldyno.compiler.graph.layout import BINARY, UNARY
from modeldyno.compiler.graph.phases import TransposedAxis
from modeldyno.compiler.graph.rewrite import op_name, rewrite, shape_of
from modeldyno.compiler.graph.transposed import by_phases

if TYPE_CHECKING:
    import tvm

# Deeper filters would copy their input too many times.
DEPTH_LIMIT = 7
_POOLS = {"relax.nn.max_pool1d": relax.op.nn.max_pool2d, "relax.nn.avg_pool1d": relax.op.nn.avg_pool2d}


def reshape_convs(mod: tvm.IRModule) -> tvm.IRModule:
    """Return the module with these convolutions, where weights are constant and NC..., as 2-D ones."""
    return rewrite(mod, _FlatTwins().handle)


class _FlatTwins:
    """The flat copy of rank 4 of each tensor of rank 3 or 5 seen so far, while one function is rewritten."""

    def __init__(self) -> None:
        self.of: dict[relax.Var, relax.Var] = {}
        self.rules: dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr | None]] = {
            "relax.nn.conv1d": self._conv1d,
            "relax.nn.conv1d_transpose": self._conv1d_transpose,
            "relax.nn.conv2d_transpose": self._conv2d_transpose,
            "relax.nn.conv3d": self._conv3d,
            "relax.nn.batch_norm": self._batch_norm,
        }
        self.rules |= dict.fromkeys(UNARY, self._unary) | dict.fromkeys(BINARY, self._binary)
        self.rules |= dict.fromkeys(_POOLS, self._pool1d)

    def handle(self, builder: relax.BlockBuilder, _var: relax.Var, value: relax.Expr) -> relax.Expr:
        """Give the value to bind: the flat copy, shaped as the original was, where there is one."""
        rule = self.rules.get(op_name(value))
        twin = rule(builder, value) if rule else None
        if twin is None:
            return value
        shape = shape_of(builder.normalize(value)) if not isinstance(twin, relax.Tuple) else None
        if shape is None or len(shape) == 4:
            return twin
        flat = builder.emit(twin)
        full = builder.emit(_unflattened(builder, flat, shape))
        self.of[full] = flat
        return full

    def _flat(self, builder: relax.BlockBuilder, expr: relax.Expr) -> relax.Expr:
        """Give the flat copy of a tensor of rank 3 or 5, made when there is none yet."""
        known = self._known(expr)
        if known is not None:
            return known
        shape = shape_of(expr) or ()
        if len(shape) == 3:
            flat = builder.emit(relax.op.reshape(expr, (shape[0], shape[1], 1, shape[2])))
        else:
            slices = builder.emit(relax.op.permute_dims(expr, (0, 2, 1, 3, 4)))
            flat = builder.emit(relax.op.reshape(slices, (shape[0] * shape[2], shape[1], *shape[3:])))
        if isinstance(expr, relax.Var):
            self.of[expr] = flat
        return flat

    def _known(self, expr: relax.Expr) -> relax.Expr | None:
        return self.of.get(expr) if isinstance(expr, relax.Var) else None

    def _conv1d(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        weight = _weight(call, "NCW", "OIW")
        if weight is None:
            return None
        attrs = call.attrs
        left, right = (int(size) for size in attrs.padding)
        return relax.op.nn.conv2d(
            self._flat(builder, call.args[0]),
            as_constant(weight[:, :, None]),
            strides=(1, int(attrs.strides[0])),
            padding=(0, left, 0, right),
            dilation=(1, int(attrs.dilation[0])),
            groups=int(attrs.groups),
            out_dtype=attrs.out_dtype,
        )

    def _conv1d_transpose(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        weight = _weight(call, "NCW", "IOW")
        if weight is None or int(call.attrs.dilation[0]) != 1:
            return None
        axes = [TransposedAxis(1, 1, 1, (0, 0), 0), *_transposed_axes(call, weight)]
        return by_phases(builder, call, self._flat(builder, call.args[0]), weight[:, :, None], axes)

    def _conv2d_transpose(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        weight = _weight(call, "NCHW", "IOHW")
        if weight is None or any(int(gap) != 1 for gap in call.attrs.dilation):
            return None
        return by_phases(builder, call, call.args[0], weight, _transposed_axes(call, weight))

    def _conv3d(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        weight, shape, out = (
            _weight(call, "NCDHW", "OIDHW"),
            shape_of(call.args[0]),
            shape_of(builder.normalize(call)),
        )
        if weight is None or shape is None or out is None or weight.shape[2] > DEPTH_LIMIT:
            return None
        attrs = call.attrs
        _front, top, left, _back, bottom, right = (int(size) for size in attrs.padding)
        taps = self._depth_taps(builder, call, weight.shape[2], out[2])
        # Channels of one group must stand together: with several groups the taps stay apart.
        if int(attrs.groups) == 1 and len(taps) > 1:
            data = builder.emit(relax.op.concat(taps, axis=1))
            merged = weight.transpose(0, 2, 1, 3, 4).reshape(weight.shape[0], -1, *weight.shape[3:])
            parts = [(data, merged)]
        else:
            parts = [(tap, weight[:, :, depth]) for depth, tap in enumerate(taps)]
        total = None
        for data, part in parts:
            conv = relax.op.nn.conv2d(
                data,
                as_constant(part),
                strides=[int(step) for step in attrs.strides[1:]],
                padding=(top, left, bottom, right),
                dilation=[int(gap) for gap in attrs.dilation[1:]],
                groups=int(attrs.groups),
                out_dtype=attrs.out_dtype,
            )
            total = conv if total is None else relax.op.add(builder.emit(total), builder.emit(conv))
        return total

    def _depth_taps(
        self, builder: relax.BlockBuilder, call: relax.Call, taps: int, out_depth: int
    ) -> list[relax.Var]:
        """Give, for each tap of the filter's depth, the slices that it reads, [(N out_depth), C, H, W]."""
        flat, attrs = self._flat(builder, call.args[0]), call.attrs
        step, gap = int(attrs.strides[0]), int(attrs.dilation[0])
        padding = [int(attrs.padding[0]), int(attrs.padding[3])]
        batch, channels, depth, *image = shape_of(call.args[0]) or ()
        if taps == step == 1 and not any(padding):
            return [flat]
        # Slices stay channels last; only with several images, depth needs an axis of its own.
        axis = 0 if batch == 1 else 1
        if axis:
            flat = builder.emit(relax.op.reshape(flat, (batch, depth, channels, *image)))
        if any(padding):
            flat = builder.emit(relax.op.nn.pad(flat, [0, 0] * axis + padding + [0, 0] * 3))
        found = []
        for begin in range(0, taps * gap, gap):
            end = begin + (out_depth - 1) * step + 1
            part = builder.emit(relax.op.strided_slice(flat, [axis], [begin], [end], [step]))
            if axis:
                part = builder.emit(relax.op.reshape(part, (batch * out_depth, channels, *image)))
            found.append(part)
        return found

    def _batch_norm(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        twin = self._known(call.args[0])
        if twin is None or int(call.attrs.axis) != 1:
            return None
        normed = builder.emit(relax.Call(call.op, [twin, *call.args[1:]], call.attrs))
        flat = builder.emit(relax.TupleGetItem(normed, 0))
        full = builder.emit(_unflattened(builder, flat, shape_of(call.args[0]) or ()))
        self.of[full] = flat
        return relax.Tuple([full, relax.TupleGetItem(normed, 1), relax.TupleGetItem(normed, 2)])

    def _unary(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        twin = self._known(call.args[0])
        return None if twin is None else relax.Call(call.op, [twin, *call.args[1:]], call.attrs)

    def _binary(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        known = [shape_of(arg) or () for arg in call.args if self._known(arg) is not None]
        rank = max(len(shape_of(arg) or ()) for arg in call.args)
        if not known or any(len(shape) != rank for shape in known) or not _alike(known):
            return None
        pair = [self._operand(arg, rank) for arg in call.args]
        return None if pair[0] is None or pair[1] is None else relax.Call(call.op, pair, call.attrs)

    def _operand(self, expr: relax.Expr, rank: int) -> relax.Expr | None:
        """Give what stands for an operand of rank `rank` beside a flat copy: its own, or a constant's."""
        known = self._known(expr)
        if known is not None:
            return known
        array = constant(expr)
        if array is None or array.ndim > rank:
            return None
        full = array.reshape((1,) * (rank - array.ndim) + array.shape)
        if rank == 3:
            return as_constant(full[:, :, None])
        # Depth is in the batch of a flat copy: what differs along either has no shape there.
        return as_constant(full[:, :, 0]) if full.shape[0] == full.shape[2] == 1 else None

    def _pool1d(self, _builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr | None:
        twin, attrs = self._known(call.args[0]), call.attrs
        if twin is None or str(attrs.layout) != "NCW":
            return None
        left, right = (int(size) for size in attrs.padding)
        return _POOLS[op_name(call)](
            twin,
            pool_size=(1, int(attrs.pool_size[0])),
            strides=(1, int(attrs.strides[0])),
            padding=(0, left, 0, right),
            dilation=(1, int(attrs.dilation[0])),
            ceil_mode=bool(attrs.ceil_mode),
            count_include_pad=bool(attrs.count_include_pad),
        )


def _alike(shapes: list[tuple[int, ...]]) -> bool:
    """Whether flat copies of these shapes broadcast as the shapes do: their batch and depth are one axis."""
    if len(shapes[0]) == 3:
        return True
    slices = {(shape[0], shape[2]) for shape in shapes}
    return len(slices - {(1, 1)}) <= 1


def _unflattened(builder: relax.BlockBuilder, flat: relax.Expr, shape: tuple[int, ...]) -> relax.Expr:
    """Give a flat copy the shape of what it stands for, of rank 3 or 5."""
    if len(shape) == 3:
        return relax.op.reshape(flat, shape)
    batch, channels, depth, *image = shape
    slices = builder.emit(relax.op.reshape(flat, (batch, depth, channels, *image)))
    return relax.op.permute_dims(slices, (0, 2, 1, 3, 4))


def _transposed_axes(call: relax.Call, weight: Array) -> list[TransposedAxis]:
    attrs, sizes = call.attrs, (shape_of(call.args[0]) or ())[2:]
    padding = [int(size) for size in attrs.padding]
    return [
        TransposedAxis(
            size=size,
            kernel=weight.shape[2 + axis],
            stride=int(attrs.strides[axis]),
            padding=(padding[axis], padding[axis + len(sizes)]),
            extra=int(attrs.output_padding[axis]),
        )
        for axis, size in enumerate(sizes)
    ]


def _weight(call: relax.Call, data_layout: str, kernel_layout: str) -> Array | None:
    """Give the constant weights of a convolution in these layouts, over data of fixed shape."""
    attrs = call.attrs
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout) or data_layout)
    shape = shape_of(call.args[0])
    if layouts != (data_layout, kernel_layout, data_layout) or shape is None or 0 in shape:
        return None
    return constant(call.args[1])
