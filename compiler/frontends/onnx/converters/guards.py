"""TVM's importer of ONNX graphs, with marks on what compiled code goes by: indices and whole divisors."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from tvm import relax
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter

from modeldyno.compiler.frontends.onnx.rules.graph import WITHIN
from modeldyno.compiler.graph.fold import constant
from modeldyno.compiler.graph.rewrite import shape_of
from modeldyno.compiler.guards.marks import Mark, checked_constant, index_mark, mark
from modeldyno.compiler.model.fixed_shapes import Shapes

if TYPE_CHECKING:
    import tvm
    from tvm.relax.frontend.onnx.onnx_frontend import onnx_input

Attributes = dict[str, Any]
# From the shapes of all inputs (None: not known) and the attributes to the sizes of the axes indexed.
Sizes = Callable[[Sequence[tuple[int, ...] | None], Attributes], Sequence[int]]


def import_guarded(model: onnx.ModelProto, shapes: Shapes) -> tvm.IRModule:
    """Import a model as TVM's `from_onnx` does, with marks.

    Raises:
        Exception: whatever TVM's front end raises of an operator that it can't read.
        NotImplementedError: constant indices or divisors that no model can run with.
    """
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # as TVM does: the checker is stricter than who runs models
        warnings.warn(str(error), UserWarning, stacklevel=2)
    sizes = {name: list(shape) for name, shape in shapes.items()}
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 1))
    return _Importer(sizes, "float32").from_onnx(model.graph, opset)


@dataclass
class _Frame:
    """A graph that is being read: its nodes from the next one on, and the `If` whose branches are at hand."""

    nodes: Iterator[onnx.NodeProto]
    branching: onnx.NodeProto | None = None


class _Importer(ONNXGraphImporter):
    """Knows the node that is being read, and the branches around it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._frames: list[_Frame] = []
        self._branches: list[tuple[relax.Expr, bool]] = []  # a condition, and what it must be

    def _construct_nodes(self, graph: onnx.GraphProto) -> None:
        self._frames.append(_Frame(iter(graph.node)))
        super()._construct_nodes(graph)
        self._frames.pop()

    def _convert_subgraph(self, bb: relax.BlockBuilder, graph: onnx.GraphProto) -> relax.Expr:
        around = self._frames[-1]
        first = around.branching is None
        node = around.branching or next(around.nodes)
        around.branching = node if first else None
        self._branches.append((self._nodes[node.input[0]], first))
        self._frames.append(_Frame(iter(graph.node)))
        found = super()._convert_subgraph(bb, graph)
        self._frames.pop()
        self._branches.pop()
        return found

    def _convert_operator(
        self, op_name: str, inputs: onnx_input, attrs: Attributes, opset: int
    ) -> relax.Expr:
        node = next(self._frames[-1].nodes)
        if node.name.startswith(WITHIN):
            most = _known(shape_of(inputs[0]))[0] - 1
            return self._marked(
                inputs[1], Mark(**json.loads(node.name[len(WITHIN) :]), low=(0,), high=(most,))
            )
        for place, what in _marks(node, inputs, attrs):
            inputs[place] = self._marked(inputs[place], what)
        if node.op_type == "MaxRoiPool":
            inputs[1] = self._first_column(
                inputs[1], index_mark(_named(node, 1), _known(shape_of(inputs[0])), from_end=False)
            )
        if node.op_type == "Compress" and len(inputs) == 2 and _is_tensor(inputs[1]):
            inputs[1] = self._cut(inputs[1], _compressed(inputs[0], attrs))
        return super()._convert_operator(op_name, inputs, attrs, opset)

    def _first_column(self, x: relax.Expr, what: Mark) -> relax.Expr:
        """Mark the first of the columns alone: the image that a box lies in, beside its corners."""
        columns = int(x.ty.shape[1])
        first = self.bb.normalize(relax.op.strided_slice(x, [1], [0], [1]))
        rest = self.bb.normalize(relax.op.strided_slice(x, [1], [1], [columns]))
        return self.bb.normalize(
            relax.op.concat(
                [self._marked(first, replace(what, low=what.low[:1], high=what.high[:1])), rest], axis=1
            )
        )

    def _cut(self, x: relax.Expr, size: int) -> relax.Expr:
        """Give no more of a list than `size`: what it says of elements that are not there is not asked."""
        if int(x.ty.shape[0]) <= size:
            return x
        return self.bb.normalize(relax.op.strided_slice(x, [0], [0], [size]))

    def _marked(self, x: relax.Expr, what: Mark) -> relax.Expr:
        fixed = constant(x)
        if fixed is not None:
            return checked_constant(x, what)
        told = replace(what, when=tuple(want for _, want in self._branches))
        return self.bb.emit(mark(x, told, [condition for condition, _ in self._branches]))


def _marks(node: onnx.NodeProto, inputs: onnx_input, attrs: Attributes) -> Iterator[tuple[int, Mark]]:
    shapes = [None if x is None else shape_of(x) for x in inputs]
    for place, sizes, from_end in _INDICES.get(node.op_type, ()):
        if place < len(inputs) and _is_tensor(inputs[place]):
            yield place, index_mark(_named(node, place), sizes(shapes, attrs), from_end=from_end)
    if node.op_type in ("Div", "Mod") and all(_is_tensor(x) and _is_whole(x) for x in inputs):
        yield 1, _named(node, 1)


def _named(node: onnx.NodeProto, place: int) -> Mark:
    return Mark(node.op_type, node.name or node.output[0], node.input[place])


def _is_tensor(x: relax.Expr | None) -> bool:
    return isinstance(getattr(x, "ty", None), relax.TensorType)


def _is_whole(x: relax.Expr) -> bool:
    return str(x.ty.dtype).startswith(("int", "uint"))


def _along_axis(shapes: Sequence[tuple[int, ...] | None], attrs: Attributes) -> Sequence[int]:
    return [_known(shapes[0])[int(attrs.get("axis", 0))]]


def _from_batch(shapes: Sequence[tuple[int, ...] | None], attrs: Attributes) -> Sequence[int]:
    first = int(attrs.get("batch_dims", 0))
    return _known(shapes[0])[first : first + _known(shapes[1])[-1]]


def _leading(shapes: Sequence[tuple[int, ...] | None], _attrs: Attributes) -> Sequence[int]:
    return _known(shapes[0])[: _known(shapes[1])[-1]]


def _unpooled(shapes: Sequence[tuple[int, ...] | None], attrs: Attributes) -> Sequence[int]:
    """Elements of the whole output, by the formula of ONNX's MaxUnpool; of an `output_shape`, any."""
    if len(shapes) > 2 and shapes[2] is not None:
        return [np.iinfo(np.int64).max]
    kernel = list(attrs["kernel_shape"])
    strides, pads = attrs.get("strides", [1] * len(kernel)), attrs.get("pads", [0] * 2 * len(kernel))
    size = math.prod(_known(shapes[0])[:2])
    for axis, extent in enumerate(_known(shapes[0])[2:]):
        size *= (extent - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[axis + len(kernel)]
    return [size]


def _compressed(x: relax.Expr, attrs: Attributes) -> int:
    shape = _known(shape_of(x))
    return shape[attrs["axis"]] if "axis" in attrs else math.prod(shape)


def _rows(table: int) -> Sizes:
    return lambda shapes, _attrs: [_known(shapes[table])[0]]


def _known(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None:
        raise NotImplementedError("an index into a tensor whose shape is known only when the model runs")
    found: tuple[int, ...] = shape
    return found


# By operator: which input is an index, into axes of which sizes; whether negative ones count from the end.
_INDICES: dict[str, tuple[tuple[int, Sizes, bool], ...]] = {
    "Gather": ((1, _along_axis, True),),
    "GatherElements": ((1, _along_axis, True),),
    "GatherND": ((1, _from_batch, True),),
    "Scatter": ((1, _along_axis, True),),
    "ScatterElements": ((1, _along_axis, True),),
    "ScatterND": ((1, _leading, True),),
    "RoiAlign": ((2, _rows(0), False),),
    "MaxUnpool": ((1, _unpooled, False),),
    "EmbedLayerNormalization": ((0, _rows(2), False), (1, _rows(4), False)),
}
