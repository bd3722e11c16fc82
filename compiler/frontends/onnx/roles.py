"""What an ONNX graph says of its inputs: each is followed through what only moves it to what reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from onnx import helper, numpy_helper

from modeldyno.compiler.frontends.onnx.converters.division import why_deadly
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.input_roles import Facts, Kind, Role, narrower
from modeldyno.compiler.model.onnx_graph import OnnxGraph

# Operators that give values of these inputs as they are.
_MOVES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand"), (0,)),
    **dict.fromkeys(("Tile", "Slice", "Split", "Gather", "GatherElements", "GatherND", "Pad"), (0,)),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "Dropout", "ReverseSequence", "Trilu"), (0,)),
    "Where": (1, 2),
}
_ARITHMETIC = frozenset(
    ("Add", "Sub", "Mul", "Div", "Mod", "Abs", "Neg", "Min", "Max", "Clip", "Sum", "Mean")
)
_COMPARES = frozenset(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"))
_LOGIC = frozenset(("Not", "And", "Or", "Xor"))
# Whole numbers in, one of them or a decision out: any value will do. Others overflow, each in its own way.
_SELECTS = frozenset(
    (
        *(
            "ArgMax",
            "ArgMin",
            "ReduceMax",
            "ReduceMin",
            "TopK",
            "Sign",
            "Relu",
            "Min",
            "Max",
            "Clip",
            "Div",
            "Mod",
        ),
        *("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"),
    )
)
_SUMS = frozenset(("ReduceSum", "CumSum"))
# Operators that round nothing: they select, compare, move, or turn whole numbers into others.
_EXACT = frozenset(
    (
        *(*_MOVES, *_COMPARES, *_LOGIC, "Concat", "Min", "Max", "Clip", "Relu", "Abs", "Neg", "Sign"),
        *("ArgMax", "ArgMin", "ReduceMax", "ReduceMin", "TopK", "MaxPool", "GlobalMaxPool", "Compress"),
        *("NonZero", "OneHot", "Shape", "Size", "Constant", "ConstantOfShape", "IsInf", "IsNaN"),
        *("ScatterElements", "ScatterND"),
    )
)
_WALKED = frozenset((*_ARITHMETIC, *_COMPARES, *_LOGIC, "Cast"))
_PASSES = ("Concat", "Where", "BatchNormalization")
_SOFTMAX = ("Softmax", "LogSoftmax")
_CHANNELS = (1, 3, 4)


def onnx_facts(graph: OnnxGraph) -> Facts:
    """Read the roles of a graph's inputs."""
    found = _Walk(graph)
    roles = {name: role for name in graph.inputs if (role := found.role(name)) is not None}
    divisions = [place for place, node in enumerate(graph.nodes) if _whole_division(graph, node)]
    return Facts(
        roles=roles,
        exact=_exact(graph),
        divides=bool(divisions) or any(map(_has_body, graph.nodes)),
        deadly=partial(why_deadly, graph, divisions) if divisions else lambda _feeds: "",
    )


class _Walk:
    """Follows inputs through a graph."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.readers: dict[str, list[tuple[int, int]]] = {}
        for place, node in enumerate(graph.nodes):
            for slot, name in enumerate(node.input):
                self.readers.setdefault(name, []).append((place, slot))
            if _has_body(node):
                for name in graph.reads[place]:
                    self.readers.setdefault(name, []).append((place, -1))

    def role(self, name: str) -> Role | None:
        """Give what an input is; None where nothing is known."""
        kind = _kind(self.graph, name)
        if kind == "f":
            return self._float(name)
        if kind == "b":
            return Role("mask") if self._reaches(name, _SOFTMAX) else Role()
        return self._whole(name) if kind in ("i", "u") else None

    def _float(self, name: str) -> Role | None:
        if self._is_image(name) and self._reaches(name, ("Conv",)):
            return Role("image")
        for place, slot in self._reads_unchanged(name):
            node = self.graph.nodes[place]
            if node.op_type == "Attention" and slot == 3:
                return Role("mask", added=True)
            if node.op_type == "Add" and self._is_added_mask(name, node, 1 - slot):
                return Role("mask", added=True)
            if node.op_type == "Gemm" and slot == 2 and self._is_added_mask(name, node, 0):
                return Role("mask", added=True)
        return None

    def _is_added_mask(self, name: str, node: onnx.NodeProto, other_slot: int) -> bool:
        """Whether an input is added to what was computed of others, before a softmax."""
        other = node.input[other_slot]
        if other in self.graph.weights or name in self._sources(other):
            return False
        if node.op_type == "Add" and other in self.graph.inputs:
            return False
        return self._reaches(node.output[0], _SOFTMAX, through=frozenset(("Add", "Cast")))

    def _sources(self, name: str) -> set[str]:
        """Name all that a tensor is computed from."""
        seen, ahead = {name}, [name]
        while ahead:
            place = self.graph.maker.get(ahead.pop())
            for read in self.graph.reads[place] if place is not None else ():
                if read not in seen:
                    seen.add(read)
                    ahead.append(read)
        return seen

    def _is_image(self, name: str) -> bool:
        shape = self.graph.shapes.get(name, ())
        return len(shape) == 4 and (shape[1] in _CHANNELS or shape[3] in _CHANNELS)

    def _reads_unchanged(self, name: str) -> Iterator[tuple[int, int]]:
        """Give who reads a tensor, or what was only moved of it: place and slot."""
        seen, ahead = {name}, [name]
        while ahead:
            for place, slot in self.readers.get(ahead.pop(), ()):
                node = self.graph.nodes[place]
                moves = slot >= 0 and (slot in _MOVES.get(node.op_type, ()) or node.op_type == "Concat")
                if not moves and not self._casts_alike(node):
                    yield place, slot
                    continue
                ahead += [out for out in node.output if out and out not in seen]
                seen.update(node.output)

    def _casts_alike(self, node: onnx.NodeProto) -> bool:
        """Whether a node is a Cast from whole numbers to whole numbers, or from floats to floats."""
        if node.op_type != "Cast":
            return False
        kinds = {_kind(self.graph, name) for name in (node.input[0], node.output[0])}
        return kinds <= {"i", "u"} or kinds == {"f"}

    def _reaches(self, name: str, wanted: tuple[str, ...], through: frozenset[str] = _WALKED) -> bool:
        """Whether a tensor gets to one of some operators by way of element-wise ones."""
        seen, ahead = {name}, [name]
        while ahead:
            for place, slot in self.readers.get(ahead.pop(), ()):
                node = self.graph.nodes[place]
                if node.op_type in wanted and slot == 0:
                    return True
                moves = slot in _MOVES.get(node.op_type, ()) or node.op_type in _PASSES
                if moves or node.op_type in through:
                    ahead += [out for out in node.output if out and out not in seen]
                    seen.update(node.output)
        return False

    def _whole(self, name: str) -> Role:
        found: Role | None = None
        for place, slot in self._reads_unchanged(name):
            found = narrower(found, self._read(place, slot))
        if (found is None or found.kind != "index") and self._reaches(name, _SOFTMAX):
            return Role("mask")
        return found or Role("whole")

    def _read(self, place: int, slot: int) -> Role:
        """Give the role of whole numbers that a node reads at a slot."""
        graph, node = self.graph, self.graph.nodes[place]
        if slot < 0:
            return Role("unknown")
        if (index := _index(graph, node, slot)) is not None:
            return index
        if node.op_type in _COMPARES and (size := _counted(graph, node.input[1 - slot])):
            return Role("length", extents=(size,))
        if node.op_type in _ARITHMETIC:
            divides = node.op_type in ("Div", "Mod") and slot == 1
            return narrower(self._derived(node), Role(_plain_use(node), divides=divides))
        return Role(_plain_use(node))

    def _derived(self, node: onnx.NodeProto) -> Role:
        """Give the role of whole numbers that are computed with: what is made of them may be an index."""
        found: Role | None = None
        seen, ahead = set(node.output), [out for out in node.output if out]
        while ahead:
            for place, slot in self._reads_unchanged(ahead.pop()):
                reader = self.graph.nodes[place]
                if reader.op_type in _ARITHMETIC:
                    ahead += [out for out in reader.output if out not in seen]
                    seen.update(reader.output)
                index = None if slot < 0 else _index(self.graph, reader, slot)
                if index is not None:
                    found = narrower(found, Role("index", extents=(min(index.extents),)))
                elif slot >= 0:
                    found = narrower(found, Role(_plain_use(reader)))
        return found or Role("whole")


def _kind(graph: OnnxGraph, name: str) -> str:
    """Give numpy's letter for a tensor's type; empty where it is no tensor of numbers."""
    kind = graph.types.get(name)
    number = kind.tensor_type.elem_type if kind is not None else 0
    if name in graph.weights and graph.weights[name] is not None:
        number = graph.weights[name].data_type  # type: ignore[union-attr] # looked at one line above
    if not number:
        return ""
    return str(np.dtype(helper.tensor_dtype_to_np_dtype(number)).kind)


def _whole_division(graph: OnnxGraph, node: onnx.NodeProto) -> bool:
    """Whether a node divides whole numbers, and not by a constant that is harmless."""
    if node.op_type not in ("Div", "Mod") or _kind(graph, node.input[1]) != "i":
        return False
    divisor = constant_of(graph, node.input[1])
    return divisor is None or bool((divisor == -1).any())


def _has_body(node: onnx.NodeProto) -> bool:
    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return any(each.type in kinds for each in node.attribute)


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(each.i) for each in node.attribute if each.name == name), default)


@dataclass(frozen=True)
class _Reader:
    """A node that reads whole numbers as indices, and the shapes of its first two inputs."""

    graph: OnnxGraph
    node: onnx.NodeProto

    @property
    def axis(self) -> int:
        return _attribute(self.node, "axis", 0)

    def shape(self, slot: int) -> tuple[int, ...]:
        """Give the shape of an input; nothing where it is not known."""
        return self.graph.shapes.get(self.node.input[slot], ()) if slot < len(self.node.input) else ()

    def along(
        self, axis: int, *, slot: int = 0, from_end: bool = False, unique: int | None = None
    ) -> Role | None:
        """Give the role of an index along an axis of an input."""
        shape = self.shape(slot)
        return Role("index", (shape[axis],), from_end, unique) if shape else None


def _gather(at: _Reader) -> Role | None:
    return at.along(at.axis, from_end=True)


def _gather_nd(at: _Reader) -> Role | None:
    return _coordinates(at, _attribute(at.node, "batch_dims", 0), None)


def _scatter_nd(at: _Reader) -> Role | None:
    return _coordinates(at, 0, None if _reduces(at.node) else -1)


def _coordinates(at: _Reader, first: int, unique: int | None) -> Role | None:
    count = at.shape(1)[-1] if at.shape(1) else 0
    sizes = at.shape(0)[first : first + count]
    return Role("index", sizes, from_end=True, unique=unique) if sizes else None


def _scatter(at: _Reader) -> Role | None:
    rank = len(at.shape(0))
    return at.along(at.axis, from_end=True, unique=None if _reduces(at.node) or not rank else at.axis % rank)


def _one_hot(at: _Reader) -> Role | None:
    depth = constant_of(at.graph, at.node.input[1])
    return None if depth is None else Role("index", (int(depth.ravel()[0]),), from_end=True)


def _steps(at: _Reader) -> Role | None:
    """Lengths of sequences, which the first input holds."""
    reverse = at.node.op_type == "ReverseSequence"
    axis = _attribute(at.node, "time_axis" if reverse else "layout", 0)
    return Role("length", (at.shape(0)[axis],)) if at.shape(0) else None


# What reads whole numbers as indices or lengths: by operator and place of the input.
_INDICES: dict[tuple[str, int], Callable[[_Reader], Role | None]] = {
    ("Gather", 1): _gather,
    ("GatherElements", 1): _gather,
    ("GatherND", 1): _gather_nd,
    ("ScatterND", 1): _scatter_nd,
    ("Scatter", 1): _scatter,
    ("ScatterElements", 1): _scatter,
    ("OneHot", 0): _one_hot,
    ("ArrayFeatureExtractor", 1): lambda at: at.along(-1),
    ("RoiAlign", 2): lambda at: at.along(0),
    ("NegativeLogLikelihoodLoss", 1): lambda at: at.along(1),
    ("SoftmaxCrossEntropyLoss", 1): lambda at: at.along(1),
    ("EmbedLayerNormalization", 0): lambda at: at.along(0, slot=2),
    ("EmbedLayerNormalization", 1): lambda at: at.along(0, slot=4),
    **dict.fromkeys((("ReverseSequence", 1), ("RNN", 4), ("GRU", 4), ("LSTM", 4)), _steps),
}


def _index(graph: OnnxGraph, node: onnx.NodeProto, slot: int) -> Role | None:
    """Give the role of whole numbers that pick elements, or count them; None where they do not."""
    found = _INDICES.get((node.op_type, slot))
    return found(_Reader(graph, node)) if found else None


def _plain_use(node: onnx.NodeProto) -> Kind:
    """Give the role of whole numbers by what reads them and is no lookup."""
    if node.op_type in _SELECTS or node.op_type in _COMPARES:
        return "whole"
    summed = node.op_type in _ARITHMETIC or node.op_type in _SUMS or node.op_type in ("Cast", "Where")
    return "number" if summed else "unknown"


def _reduces(node: onnx.NodeProto) -> bool:
    return any(each.name == "reduction" and each.s not in (b"", b"none") for each in node.attribute)


def constant_of(graph: OnnxGraph, name: str) -> Array | None:
    """Give a tensor's values where they are a constant that is kept with the graph; None otherwise."""
    tensor = graph.weights.get(name)
    if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    return np.asarray(numpy_helper.to_array(tensor))


def _counted(graph: OnnxGraph, name: str) -> int:
    """Give how far a constant counts from 0 on; 0 where it does not."""
    values = constant_of(graph, name)
    if values is None or values.size < 2 or values.dtype.kind not in "iuf":
        return 0
    return values.size if np.array_equal(values.ravel(), np.arange(values.size)) else 0


def _exact(graph: OnnxGraph) -> frozenset[str]:
    """Name the outputs before which nothing rounds."""
    rounded: set[str] = set()
    for place, node in enumerate(graph.nodes):
        whole = all(_kind(graph, name) in ("i", "u", "b") for name in (*node.input, *node.output) if name)
        exact = whole or (node.op_type in _EXACT and not _reduces(node))
        if rounded.intersection(graph.reads[place]) or not exact:
            rounded.update(node.output)
    return frozenset(name for name in graph.outputs if name not in rounded)
