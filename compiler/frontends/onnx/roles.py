"""What an ONNX graph says of its inputs: each is followed through what only moves it to what reads it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import onnx

from modeldyno.compiler.frontends.onnx.converters.division import why_deadly
from modeldyno.compiler.frontends.onnx.indices import index_role
from modeldyno.compiler.frontends.onnx.nodes import constant_of, counted, has_body, kind_of, reduces
from modeldyno.compiler.model.input_roles import Facts, Kind, Role, narrower
from modeldyno.compiler.model.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    import onnx

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
# What is made of whole numbers by these may be summed up behind them.
_FOLLOWED = _ARITHMETIC | frozenset(
    (
        *("ReduceMax", "ReduceMin", "TopK", "Relu"),
        *("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"),
    )
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
        divides=bool(divisions) or any(map(has_body, graph.nodes)),
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
            if has_body(node):
                for name in graph.reads[place]:
                    self.readers.setdefault(name, []).append((place, -1))

    def role(self, name: str) -> Role | None:
        """Give what an input is; None where nothing is known."""
        kind = kind_of(self.graph, name)
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
        kinds = {kind_of(self.graph, name) for name in (node.input[0], node.output[0])}
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
        if (index := index_role(graph, node, slot)) is not None:
            return index
        if node.op_type in _COMPARES and (size := counted(graph, node.input[1 - slot])):
            return Role("length", extents=(size,))
        if node.op_type in _FOLLOWED:
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
                if reader.op_type in _FOLLOWED:
                    ahead += [out for out in reader.output if out not in seen]
                    seen.update(reader.output)
                index = None if slot < 0 else index_role(self.graph, reader, slot)
                if index is not None:
                    found = narrower(found, Role("index", extents=(min(index.extents),)))
                elif slot >= 0:
                    found = narrower(found, Role(_plain_use(reader)))
        return found or Role("whole")


def _whole_division(graph: OnnxGraph, node: onnx.NodeProto) -> bool:
    """Whether a node divides whole numbers, and not by a constant that is harmless."""
    if node.op_type not in ("Div", "Mod") or kind_of(graph, node.input[1]) != "i":
        return False
    divisor = constant_of(graph, node.input[1])
    return divisor is None or bool((divisor == -1).any())


def _plain_use(node: onnx.NodeProto) -> Kind:
    """Give the role of whole numbers by what reads them and is no lookup."""
    if _as_doubles(node):
        return "number"
    if node.op_type in _SELECTS or node.op_type in _COMPARES:
        return "whole"
    summed = node.op_type in _ARITHMETIC or node.op_type in _SUMS or node.op_type in ("Cast", "Where")
    return "number" if summed else "unknown"


def _as_doubles(node: onnx.NodeProto) -> bool:
    """Whether ONNX Runtime divides whole numbers as doubles, which hold 53 bits."""
    return node.op_type == "Mod" and any(each.name == "fmod" and each.i for each in node.attribute)


def _exact(graph: OnnxGraph) -> frozenset[str]:
    """Name the outputs before which nothing rounds."""
    rounded: set[str] = set()
    for place, node in enumerate(graph.nodes):
        whole = all(kind_of(graph, name) in ("i", "u", "b") for name in (*node.input, *node.output) if name)
        exact = whole or (node.op_type in _EXACT and not reduces(node))
        if rounded.intersection(graph.reads[place]) or not exact:
            rounded.update(node.output)
    return frozenset(name for name in graph.outputs if name not in rounded)
