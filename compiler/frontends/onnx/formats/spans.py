"""Between which values the tensors of a graph lie: a clip that cuts off nothing need not be there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import numpy as np

from modeldyno.compiler.frontends.onnx.nodes import attribute
from modeldyno.compiler.model.arrays import Array

if TYPE_CHECKING:
    import onnx


Rule = Callable[["onnx.NodeProto", "list[Span]", Mapping[str, Array]], "Span"]


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
    **dict.fromkeys(("Softmax", "HardSigmoid"), Span(0.0, 1.0)),
    **dict.fromkeys(("Softsign", "Sin", "Cos"), Span(-1.0, 1.0)),
}


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -_MOST else 0.0


_MOST = 700.0  # whose power of e a float64 holds
# Functions that rise everywhere: the ends of a span become those of what they give.
_RISING: dict[str, Callable[[float], float]] = {
    "Relu": lambda value: max(value, 0.0),
    "Sigmoid": _sigmoid,
    "Tanh": math.tanh,
    "Erf": math.erf,
    "Exp": lambda value: math.exp(value) if value < _MOST else math.inf,
    "Softplus": lambda value: max(value, 0.0) + math.log1p(math.exp(-abs(value))),
}
# Functions that fall to so much below zero, and rise to no more than what they are given.
_DIPPING = {"Gelu": -0.17, "HardSwish": -0.375, "Mish": -0.309}


def span_of(node: onnx.NodeProto, known: Mapping[str, Span], constants: Mapping[str, Array]) -> Span:
    """Give between which values what a node gives lies."""
    rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        return ANY
    count = None if node.op_type in _ALL else 2 if node.op_type in _PAIRS else 1
    return rule(node, [_input(name, known, constants) for name in node.input[:count]], constants)


def _input(name: str, known: Mapping[str, Span], constants: Mapping[str, Array]) -> Span:
    values = constants.get(name)
    if values is None or values.dtype.kind != "f" or not values.size:
        return known.get(name, ANY)
    least, most = float(values.min()), float(values.max())
    return Span(least, most) if math.isfinite(least + most) else ANY


def _clip(node: onnx.NodeProto, spans: list[Span], constants: Mapping[str, Array]) -> Span:
    low, high = -math.inf, math.inf
    for each in node.attribute:
        low, high = (each.f, high) if each.name == "min" else (low, each.f)
    names = [*node.input[1:], "", ""]
    if any(name and name not in constants for name in names):
        return ANY
    low = float(constants[names[0]]) if names[0] else low
    high = float(constants[names[1]]) if names[1] else high
    return spans[0].cut(low, high)


def _padded(node: onnx.NodeProto, spans: list[Span], constants: Mapping[str, Array]) -> Span:
    (given,) = spans
    if node.op_type == "AveragePool":
        return given | _ZERO if attribute(node, "count_include_pad", 0) else given
    if len(node.input) > 2 and node.input[2]:
        value = constants.get(node.input[2])
        return ANY if value is None else given | Span(float(value.min()), float(value.max()))
    return given | _ZERO if len(node.input) > 1 else ANY


def _product(one: Span, other: Span) -> Span:
    corners = [a * b for a in (one.low, one.high) for b in (other.low, other.high)]
    return Span(min(corners), max(corners)) if all(map(math.isfinite, corners)) else ANY


_PAIRS: dict[str, Callable[[Span, Span], Span]] = {
    "Add": lambda one, other: Span(one.low + other.low, one.high + other.high),
    "Sub": lambda one, other: Span(one.low - other.high, one.high - other.low),
    "Mul": _product,
}


def _rising(rise: Callable[[float], float]) -> Rule:
    return lambda _node, spans, _constants: Span(rise(spans[0].low), rise(spans[0].high))


def _dipping(least: float) -> Rule:
    return lambda _node, spans, _constants: Span(least, max(spans[0].high, 0.0))


def _fixed(span: Span) -> Rule:
    return lambda _node, _spans, _constants: span


def _of_two(pair: Callable[[Span, Span], Span]) -> Rule:
    return lambda _node, spans, _constants: pair(spans[0], spans[1])


def _first(_node: onnx.NodeProto, spans: list[Span], _constants: Mapping[str, Array]) -> Span:
    return spans[0]


def _joined(_node: onnx.NodeProto, spans: list[Span], _constants: Mapping[str, Array]) -> Span:
    return reduce(or_, spans)


_RULES: dict[str, Rule] = {
    **{kind: _fixed(span) for kind, span in _FIXED.items()},
    **{kind: _rising(rise) for kind, rise in _RISING.items()},
    **{kind: _dipping(least) for kind, least in _DIPPING.items()},
    **{kind: _of_two(pair) for kind, pair in _PAIRS.items()},
    **dict.fromkeys(_KEEP, _first),
    **dict.fromkeys(_ALL, _joined),
    **dict.fromkeys(_WITH_ZERO, _padded),
    "Clip": _clip,
}


def is_within(span: Span, low: Array, high: Array, step: Array) -> tuple[bool, bool]:
    """Say whether a span passes neither the lower bound, nor the upper one, by more than half a step.

    So far rounding to steps may move a value too.
    """
    half = np.asarray(step, np.float64) / 2
    return bool((span.low >= low - half).all()), bool((span.high <= high + half).all())
