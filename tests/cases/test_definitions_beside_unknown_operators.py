"""An operator that the front end doesn't know has its definition used; all others stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modeldyno.compiler.frontends.onnx.converters.common import known_operators
from modeldyno.compiler.frontends.onnx.rules.apply import take_apart
from tests.cases.agreement import Both
from tests.compiler.models import constant, model, node, tensor

SHAPE = [3, 4]
# Known to ONNX by a definition, and to TVM's front end not at all.
UNKNOWN = node("CenterCropPad", "z size", "c", axes=[0])
WIDE = np.array([[826.0, 1, 5, -3], [100, 99, 98, -120], [-826, -825, -900, 0]], np.float32)


def beside(kind: str, **attributes: Any) -> onnx.ModelProto:
    axes = kind.startswith("Reduce")
    nodes = [node(kind, "x axes" if axes else "x", "y", **attributes), UNKNOWN]
    outputs = [helper.make_empty_tensor_value_info("y"), tensor("c", [2, 4])]
    kept = [constant("size", [2]), *([constant("axes", [1])] if axes else [])]
    return model(nodes, [tensor("x", SHAPE), tensor("z", SHAPE)], outputs, kept, opset=18)


def test_the_unknown_operator_is_unknown() -> None:
    assert UNKNOWN.op_type not in known_operators()


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("ReduceLogSumExp", {"keepdims": 0}),
        ("LogSoftmax", {"axis": 1}),
        ("Softplus", {}),
        ("Celu", {"alpha": 0.5}),
        ("Mish", {}),
        ("Elu", {}),
        ("Selu", {}),
        ("Softmax", {"axis": 1}),
        ("LayerNormalization", {}),
    ],
)
def test_large_numbers_overflow_nowhere_beside_an_unknown_operator(
    tmp_path: Path, kind: str, attributes: dict[str, Any]
) -> None:
    made = beside(kind, **attributes)
    if kind == "LayerNormalization":
        made.graph.node[0].input.append("gamma")
        made.graph.initializer.append(constant("gamma", [1, 2, 3, 4], "float32"))
    assert Both(tmp_path, made).differing({"x": WIDE, "z": WIDE / 100}, rtol=1e-4) == []


def test_only_what_is_unknown_is_taken_apart() -> None:
    made = beside("ReduceLogSumExp")
    made.graph.node.insert(0, node("Elu", "z", "e"))
    operators = [each.op_type for each in take_apart(made, known_operators()).graph.node]
    assert operators[:2] == ["Elu", "ReduceLogSumExp"]
    assert "CenterCropPad" not in operators


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_loss_of_sure_answers_is_finite(tmp_path: Path, reduction: str) -> None:
    loss = node("SoftmaxCrossEntropyLoss", "x labels", "y logs", reduction=reduction)
    outputs = [helper.make_empty_tensor_value_info(name) for name in ("y", "logs")]
    inputs = [tensor("x", SHAPE), tensor("labels", [3], TensorProto.INT64)]
    both = Both(tmp_path, model([loss], inputs, outputs, opset=18))
    assert both.differing({"x": WIDE, "labels": np.array([1, 3, 0])}, rtol=1e-4) == []
