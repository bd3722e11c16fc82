"""Between which values the tensors of a graph lie: a clip that cuts off nothing need not be there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modeldyno.compiler.frontends.onnx.nodes import attribute
from modeldyno.compiler.model.arrays import Array

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Span:
    """The least and the largest value that a tensor can hold."""

    low: float = -math.inf
    high: float = math.inf

    def __or__(self, other: Span) -> Span:
        """Give what holds both."""
        return Span(min(self.low, other.low), max(self.high, other.high))

    def cut(self, low: float, high: float) -> Span:
        """Give what is left of it between two values."""
        return Span(min(max(self.low, low), high), max(min(self.high, high), low))


ANY = Span()
_ZERO = Span(0.0, 0.0)
# Operators that give values of their first input, or means or extremes of them.
_KEEP = frozenset(
    (
        *("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Gather"),
        *("GatherElements", "GatherND", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Dropout"),
        *("MaxPool", "GlobalMaxPool", "GlobalAveragePool", "ReduceMean", "ReduceMax", "ReduceMin"),
    )
)
_WITH_ZERO = frozenset(("AveragePool", "Pad"))  # and zeros that stand around them
_ALL = frozenset(("Concat", "Max", "Min"))
_FIXED = {
    **dict.fromkeys(("Softmax", "Sigmoid", "HardSigmoid"), Span(0.0, 1.0)),
    **dict.fromkeys(("Tanh", "Erf", "Softsign", "Sin", "Cos"), Span(-1.0, 1.0)),
}


def span_of(node: onnx.NodeProto, known: Mapping[str, Span], constants: Mapping[str, Array]) -> Span:
    """Give between which values what a node gives lies."""
    if node.domain not in ("", "ai.onnx"):
        return ANY
    kind = node.op_type
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _ALL:
        return _joined([_input(name, known, constants) for name in node.input])
    if kind not in _KEEP and kind not in _RULES:
        return ANY
    given = _input(node.input[0], known, constants)
    return _RULES[kind](node, given, constants) if kind in _RULES else given


def _input(name: str, known: Mapping[str, Span], constants: Mapping[str, Array]) -> Span:
    values = constants.get(name)
    if values is None or values.dtype.kind != "f" or not values.size:
        return known.get(name, ANY)
    least, most = float(values.min()), float(values.max())
    return Span(least, most) if math.isfinite(least + most) else ANY


def _joined(spans: list[Span]) -> Span:
    found = spans[0]
    for each in spans[1:]:
        found = found | each
    return found


def _clip(node: onnx.NodeProto, given: Span, constants: Mapping[str, Array]) -> Span:
    low, high = -math.inf, math.inf
    for each in node.attribute:
        low, high = (each.f, high) if each.name == "min" else (low, each.f)
    names = [*node.input[1:], "", ""]
    if any(name and name not in constants for name in names):
        return ANY
    low = float(constants[names[0]]) if names[0] else low
    high = float(constants[names[1]]) if names[1] else high
    return given.cut(low, high)


def _padded(node: onnx.NodeProto, given: Span, constants: Mapping[str, Array]) -> Span:
    if node.op_type == "AveragePool":
        return given | _ZERO if attribute(node, "count_include_pad", 0) else given
    if len(node.input) > 2 and node.input[2]:
        value = constants.get(node.input[2])
        return ANY if value is None else given | Span(float(value.min()), float(value.max()))
    return given | _ZERO if len(node.input) > 1 else ANY


_RULES: dict[str, Callable[[onnx.NodeProto, Span, Mapping[str, Array]], Span]] = {
    "Clip": _clip,
    "Relu": lambda _node, given, _constants: given.cut(0.0, math.inf),
    **dict.fromkeys(_WITH_ZERO, _padded),
}


def is_within(span: Span, low: Array, high: Array, step: Array) -> tuple[bool, bool]:
    """Say whether a span passes neither the lower bound, nor the upper one, by more than half a step.

    So far rounding to steps may move a value too.
    """
    half = np.asarray(step, np.float64) / 2
    return bool((span.low >= low - half).all()), bool((span.high <= high + half).all())
