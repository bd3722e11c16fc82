"""A window that `ceil_mode` would begin behind the image is in no shape behind it, as in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from modeldyno.compiler.frontends.onnx.rules.ceil_pools import without_late_windows
from modeldyno.compiler.onnx_backend import ModeldynoBackend
from tests.compiler.models import constant, model, node, tensor

DATA = np.random.default_rng(0).standard_normal((1, 2, 5, 6)).astype(np.float32)
ROWS = {"kernel_shape": [3, 3], "strides": [3, 1], "pads": [1, 1, 1, 0], "ceil_mode": 1}
# Rows lose a window; columns have one that reaches beyond their padding.
BOTH = {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [1, 1, 1, 0], "ceil_mode": 1}


@pytest.mark.parametrize(
    ("operator", "settings"),
    [
        ("MaxPool", BOTH),
        ("LpPool", BOTH),
        ("AveragePool", BOTH),
        ("AveragePool", ROWS | {"count_include_pad": 1}),
    ],
    ids=["max", "norm", "mean", "mean with padding"],
)
def test_a_window_behind_the_image_is_left_out(operator: str, settings: dict[str, Any]) -> None:
    nodes = [
        node(operator, "x", "p", **settings),
        node("Resize", "p none none sizes", "r", mode="cubic", coordinate_transformation_mode="asymmetric"),
        node("Shape", "p", "s"),
        node("Expand", "one s", "e"),
    ]
    constants = [constant("sizes", [1, 2, 7, 3]), constant("one", 1.0, "float32")]
    nodes[1].input[1] = nodes[1].input[2] = ""
    whole = model(
        nodes, [tensor("x", DATA.shape)], [tensor("r", (1, 2, 7, 3)), tensor("e", [None] * 4)], constants
    )
    whole.opset_import[0].version = 18
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options)
    for found, right in zip(
        ModeldynoBackend.run_model(whole, [DATA]), session.run(None, {"x": DATA}), strict=True
    ):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


def test_pools_that_are_counted_alike_stay_as_they_are() -> None:
    pool = node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    given = model([pool], [tensor("x", DATA.shape)], [tensor("y", (1, 2, 3, 3))])
    assert without_late_windows(given) is given
