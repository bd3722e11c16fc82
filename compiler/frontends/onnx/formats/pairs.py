"""Quantise and dequantise as arithmetic of floats: a pair of them is a clip to what its numbers can hold.

Rounding to whole numbers is left out. The clip is not: tools that quantise drop a ReLU in front of a pair
whose numbers begin at zero. Whole numbers that are moved about between the two (Reshape, Transpose, Concat,
MaxPool) are moved as the floats that they stand for. Whole numbers that are something else too, an input, an
output, or what another operator reads, stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from modeldyno.compiler.frontends.onnx.formats.constants import Constants
from modeldyno.compiler.frontends.onnx.formats.dynamic import Products
from modeldyno.compiler.frontends.onnx.formats.scales import (
    Scale,
    is_dequantize,
    is_quantize,
    scale_of,
    whole_type,
)
from modeldyno.compiler.frontends.onnx.formats.spans import ANY, Span, is_within, span_of
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.onnx_graph import reads

_VALUES = "__values"  # behind the name of whole numbers: the floats that they stand for
_INPUT_BOUNDS = 11  # from this opset on, the bounds of Clip are inputs
# Operators that move, or select, the values of these inputs (None: of all).
MOVES: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand"), (0,)),
    **dict.fromkeys(("Tile", "Slice", "Split", "Gather", "GatherElements", "GatherND", "Pad"), (0,)),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "MaxPool", "ReduceMax", "ReduceMin"), (0,)),
    **dict.fromkeys(("Concat", "Max", "Min"), None),
    "Where": (1, 2),
}


def without_pairs(model: onnx.ModelProto) -> frozenset[str]:
    """Write the pairs of a model as arithmetic of floats, in place; constants are folded in it already.

    Gives the names of the tensors of whole numbers that floats are still rounded to.
    """
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
    found = _Rewrite(model.graph, {}, opset).run()
    del model.graph.value_info[:]
    return found


class _Rewrite:
    """One graph, and the bodies inside it."""

    def __init__(self, graph: onnx.GraphProto, around: Mapping[str, Array], opset: int) -> None:
        self.graph, self.opset = graph, opset
        self.constants = Constants(graph, around)
        self.types = {
            value.name: value.type.tensor_type for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self.nodes: list[tuple[onnx.NodeProto, bool]] = []  # with whether it may go where nothing reads it
        self.floats: dict[str, tuple[str, Scale]] = {}  # of whole numbers, what they stand for
        self.spans: dict[str, Span] = {}
        self.products = Products(self._add, self._const, self.constants)

    def run(self) -> frozenset[str]:
        """Write the graph anew."""
        rounded: set[str] = set()
        for node in self.graph.node:
            for body in _bodies(node):
                rounded |= _Rewrite(body, self.constants, self.opset).run()
            self._take(node)
        kept = self._read_ones()
        del self.graph.node[:]
        self.graph.node.extend(kept)
        return frozenset(rounded | _rounded(kept))

    def _take(self, node: onnx.NodeProto) -> None:
        if is_quantize(node):
            self._quantize(node)
        elif is_dequantize(node):
            self._dequantize(node)
        elif self._moved(node):
            self._add(node, idle=True)
        elif not self.products.take(node):
            self._add(node)

    def _add(self, node: onnx.NodeProto, *, idle: bool = False) -> str:
        self.nodes.append((node, idle))
        span = span_of(node, self.spans, self.constants)
        self.spans |= dict.fromkeys(node.output, span)
        return str(node.output[0])

    def _op(self, operator: str, inputs: list[str], output: str) -> str:
        return self._add(helper.make_node(operator, inputs, [output]), idle=True)

    def _const(self, name: str, values: Array) -> str:
        while name in self.constants or name in self.types:  # tools name what they add alike
            name += "_"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def _shape(self, name: str) -> tuple[int | None, ...] | None:
        if name in self.constants:
            return self.constants[name].shape
        kind = self.types.get(name)
        if kind is None or not kind.HasField("shape"):
            return None
        return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)

    def _dtype(self, name: str) -> np.dtype | None:
        if name in self.floats:
            return self.floats[name][1].dtype
        if name in self.constants:
            return self.constants[name].dtype
        kind = self.types.get(name)
        return np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind and kind.elem_type else None

    def _quantize(self, node: onnx.NodeProto) -> None:
        self._add(node, idle=True)
        data, kind = node.input[0], whole_type(node, self.constants)
        scale = None if kind is None else scale_of(node, self.constants, self._shape(data), kind)
        if scale is not None and self._dtype(data) in (None, np.dtype(np.float32)):
            name = node.output[0]
            self.floats[name] = (self._clipped(data, scale, name + _VALUES), scale)

    def _clipped(self, data: str, scale: Scale, name: str) -> str:
        """Cut off what the numbers can't hold; nothing is added where there is no such value."""
        low, high = scale.low, scale.high
        span = self.spans.get(data, ANY)
        is_above, is_below = is_within(span, low, high, scale.scale)
        if is_above and is_below:
            return data
        if scale.is_single:
            self._clip(data, None if is_above else low, None if is_below else high, name)
        else:
            above = self._op("Max", [data, self._const(f"{name}_least", low)], f"{name}_above")
            self._op("Min", [above, self._const(f"{name}_most", high)], name)
        self.spans[name] = span.cut(float(low.min()), float(high.max()))
        return name

    def _clip(self, data: str, low: Array | None, high: Array | None, name: str) -> None:
        bounds = {"min": low, "max": high}
        if self.opset < _INPUT_BOUNDS:
            given = {key: float(value) for key, value in bounds.items() if value is not None}
            self._add(helper.make_node("Clip", [data], [name], **given), idle=True)
            return
        names = [
            "" if value is None else self._const(f"{name}_{key}", value) for key, value in bounds.items()
        ]
        self._op("Clip", [data, *names] if names[1] else [data, names[0]], name)

    def _dequantize(self, node: onnx.NodeProto) -> None:
        data, output, kind = node.input[0], node.output[0], self._dtype(node.input[0])
        dynamic = self.products.floats.get(data)
        if dynamic is not None and tuple(node.input[1:]) == dynamic[1:]:
            self._op("Identity", [dynamic[0]], output)
            return
        if len(node.input) > 2 and node.input[2] in self.constants:
            kind = self.constants[node.input[2]].dtype
        scale = None if kind is None else scale_of(node, self.constants, self._shape(data), kind)
        if scale is None:
            self._add(node)
        elif data in self.floats:
            values, given = self.floats[data]
            self._rescaled(values, given, scale, output)
        else:
            self._as_floats(data, scale, output)

    def _rescaled(self, values: str, given: Scale, wanted: Scale, output: str) -> None:
        """Floats of one scale, read by another: most tools read by the same."""
        if given.same(wanted):
            self._op("Identity", [values], output)
            return
        factor = np.asarray(wanted.scale / given.scale, np.float32)
        moved = np.asarray((given.zero - wanted.zero) * wanted.scale, np.float32)
        product = self._op("Mul", [values, self._const(f"{output}_factor", factor)], f"{output}_product")
        self._op("Add", [product, self._const(f"{output}_moved", moved)], output)

    def _as_floats(self, data: str, scale: Scale, output: str) -> None:
        """Whole numbers that are no floats before: an input, or what another operator gives."""
        cast = helper.make_node("Cast", [data], [f"{output}_cast"], to=onnx.TensorProto.FLOAT)
        name = self._add(cast, idle=True)
        if scale.zero.any():
            zero = self._const(f"{output}_zero", scale.zero.astype(np.float32))
            name = self._op("Sub", [name, zero], f"{output}_centred")
        self._op("Mul", [name, self._const(f"{output}_scale", scale.scale)], output)

    def _moved(self, node: onnx.NodeProto) -> bool:
        """Move the floats of whole numbers as these are moved; gives whether that can be."""
        if node.op_type not in MOVES or node.domain not in ("", "ai.onnx") or not node.input:
            return False
        places = MOVES[node.op_type] or range(len(node.input))
        found = [self.floats.get(node.input[place]) for place in places]
        if found[0] is None or any(each is None or not each[1].same(found[0][1]) for each in found):
            return False
        scale = _scale_behind(node, found[0][1])
        if scale is None:
            return False
        again = onnx.NodeProto()
        again.CopyFrom(node)
        again.name = ""
        for place, each in zip(places, found, strict=True):
            again.input[place] = each[0] if each else ""
        if node.op_type == "Pad" and not self._pad(again, scale):
            return False
        del again.output[:]
        again.output.extend(name and name + _VALUES for name in node.output)
        self._add(again, idle=True)
        self.floats |= {name: (name + _VALUES, scale) for name in node.output if name}
        return True

    def _pad(self, node: onnx.NodeProto, scale: Scale) -> bool:
        """Give a Pad the float of what it pads whole numbers with."""
        if len(node.input) < 2:
            return False
        given = node.input[2] if len(node.input) > 2 else ""
        if given and given not in self.constants:
            return False
        number = self.constants[given].astype(np.int64).reshape(()) if given else np.int64(0)
        value = np.asarray((number - scale.zero) * scale.scale, np.float32)
        inputs = [*node.input, ""][:3] + list(node.input[3:])
        inputs[2] = self._const(f"{node.output[0]}{_VALUES}_pad", value)
        del node.input[:]
        node.input.extend(inputs)
        return True

    def _read_ones(self) -> list[onnx.NodeProto]:
        """Leave out what was added, or stays for those who read whole numbers, where nothing reads it."""
        wanted = {value.name for value in self.graph.output}
        kept = []
        for node, idle in reversed(self.nodes):
            if not idle or wanted.intersection(node.output):
                kept.append(node)
                wanted.update(reads(node))
        return kept[::-1]


def _scale_behind(node: onnx.NodeProto, scale: Scale) -> Scale | None:
    """Give the scale of what an operator that moves values gives; None where it can't be told."""
    if scale.is_single or node.op_type == "Identity":
        return scale
    axes = next((tuple(each.ints) for each in node.attribute if each.name == "perm"), None)
    if node.op_type != "Transpose" or axes is None:
        return None
    return scale.transposed(axes)


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for each in node.attribute:
        yield from ([each.g] if each.HasField("g") else [])
        yield from each.graphs


def _rounded(nodes: list[onnx.NodeProto]) -> set[str]:
    """Name the whole numbers that floats are rounded to, wherever they are moved."""
    found: set[str] = set()
    for node in nodes:
        if is_quantize(node) or (node.op_type in MOVES and found.intersection(node.input)):
            found.update(node.output)
    return found
