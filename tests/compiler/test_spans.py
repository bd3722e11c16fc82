"""Between which values tensors lie: never less than what ONNX Runtime gives."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from modeldyno.compiler.frontends.onnx.formats.spans import ANY, Span, is_within, span_of
from tests.compiler.models import constant, model, node, tensor

CONSTANTS = {"c": np.array([-1.5, 0.25, 2], np.float32), "low": np.array(-0.5), "high": np.array(0.75)}
NODES = {
    **{
        name: node(name, "x", "y")
        for name in ("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Softplus", "Softsign")
    },
    **{
        name: node(name, "x", "y")
        for name in ("HardSwish", "HardSigmoid", "Mish", "Sin", "Identity", "Flatten")
    },
    **{name: node(name, "x c", "y") for name in ("Add", "Sub", "Mul", "Max", "Min")},
    "Clip": node("Clip", "x low high", "y"),
    "Clip above": helper.make_node("Clip", ["x", "", "high"], ["y"]),
    "Gelu": node("Gelu", "x", "y"),
    "Softmax": node("Softmax", "x", "y"),
    "Mul by itself": node("Mul", "x x", "y"),
    "Concat": node("Concat", "x c2", "y", axis=0),
}


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("ends", [(-3.0, 2.0), (0.5, 4.0), (-9.0, -1.0)])
def test_nothing_lies_outside(name: str, ends: tuple[float, float]) -> None:
    made, constants = NODES[name], {**CONSTANTS, "c2": np.full((1, 3), 1.25, np.float32)}
    values = [constant(key, value, "float32") for key, value in constants.items() if key in made.input]
    net = model([made], [tensor("x", [301, 3])], [tensor("y", [None, None])], values, opset=22)
    net.ir_version = 10
    x = np.linspace(*ends, 903, dtype=np.float32).reshape(301, 3)
    (found,) = onnxruntime.InferenceSession(net.SerializeToString()).run(None, {"x": x})
    span = span_of(made, {"x": Span(*ends)}, constants)
    assert span.low - 1e-3 <= found.min()
    assert found.max() <= span.high + 1e-3
    if name not in ("Add", "Sub", "Mul by itself"):  # the span is of some use
        assert math.isfinite(span.low + span.high)


def test_what_is_not_known_may_be_anything() -> None:
    assert span_of(node("Conv", "x w", "y"), {"x": Span(0, 1)}, {}) == ANY
    assert span_of(node("Clip", "x low", "y"), {"x": Span(0, 1)}, {}) == ANY
    assert span_of(node("Mul", "x z", "y"), {"x": Span(0, 1)}, {}) == ANY
    assert span_of(node("Relu", "x", "y"), {}, {}) == Span(0, math.inf)
    assert span_of(helper.make_node("Relu", ["x"], ["y"], domain="own"), {}, {}) == ANY


def test_half_a_step_is_what_rounding_moves_too() -> None:
    low, high, step = (np.array(value, np.float32) for value in (0, 1, 0.1))
    assert is_within(Span(-0.04, 1.04), low, high, step) == (True, True)
    assert is_within(Span(-0.06, 1.06), low, high, step) == (False, False)
