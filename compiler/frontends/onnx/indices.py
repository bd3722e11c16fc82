"""Which operators of ONNX read whole numbers as indices or lengths, and into what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modeldyno.compiler.frontends.onnx.nodes import attribute, constant_of, reduces
from modeldyno.compiler.model.input_roles import Role
from modeldyno.compiler.model.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Reader:
    """A node that reads whole numbers as indices, and the shapes of its first two inputs."""

    graph: OnnxGraph
    node: onnx.NodeProto

    @property
    def axis(self) -> int:
        """The axis that it picks along."""
        return attribute(self.node, "axis", 0)

    def shape(self, slot: int) -> tuple[int, ...]:
        """Give the shape of an input; nothing where it is not known."""
        return self.graph.shapes.get(self.node.input[slot], ()) if slot < len(self.node.input) else ()

    def along(
        self, axis: int, *, slot: int = 0, from_end: bool = False, unique: int | None = None
    ) -> Role | None:
        """Give the role of an index along an axis of an input."""
        shape = self.shape(slot)
        return Role("index", (shape[axis],), from_end, unique) if shape else None


def _gather(at: Reader) -> Role | None:
    return at.along(at.axis, from_end=True)


def _gather_nd(at: Reader) -> Role | None:
    return _coordinates(at, attribute(at.node, "batch_dims", 0), None)


def _scatter_nd(at: Reader) -> Role | None:
    return _coordinates(at, 0, None if reduces(at.node) else -1)


def _coordinates(at: Reader, first: int, unique: int | None) -> Role | None:
    count = at.shape(1)[-1] if at.shape(1) else 0
    sizes = at.shape(0)[first : first + count]
    return Role("index", sizes, from_end=True, unique=unique) if sizes else None


def _scatter(at: Reader) -> Role | None:
    rank = len(at.shape(0))
    return at.along(at.axis, from_end=True, unique=None if reduces(at.node) or not rank else at.axis % rank)


def _one_hot(at: Reader) -> Role | None:
    depth = constant_of(at.graph, at.node.input[1])
    return None if depth is None else Role("index", (int(depth.ravel()[0]),), from_end=True)


def _steps(at: Reader) -> Role | None:
    """Lengths of sequences, which the first input holds."""
    reverse = at.node.op_type == "ReverseSequence"
    axis = attribute(at.node, "time_axis" if reverse else "layout", 0)
    return Role("length", (at.shape(0)[axis],)) if at.shape(0) else None


# What reads whole numbers as indices or lengths: by operator and place of the input.
_INDICES: dict[tuple[str, int], Callable[[Reader], Role | None]] = {
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


def index_role(graph: OnnxGraph, node: onnx.NodeProto, slot: int) -> Role | None:
    """Give the role of whole numbers that pick elements, or count them; None where they do not."""
    found = _INDICES.get((node.op_type, slot))
    return found(Reader(graph, node)) if found else None
