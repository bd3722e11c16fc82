"""Mish and Softplus of ONNX: right to all digits where they are tiny too."""

from __future__ import annotations

import numpy as np

from modeldyno.compiler.onnx_backend import ModeldynoBackend
from tests.compiler.models import model, node, tensor


def test_mish_and_softplus_of_negative_numbers_keep_their_digits() -> None:
    data = np.array([-80, -60, -22, -17.5, -3, -1e-6, 0, 1e-6, 2, 19, 21, 45, 90], np.float32)
    nodes = [node("Mish", "x", "m"), node("Softplus", "x", "s")]
    outputs = [tensor(name, data.shape) for name in "ms"]
    mish, softplus = ModeldynoBackend.run_model(
        model(nodes, [tensor("x", data.shape)], outputs, opset=18), [data]
    )
    curve = np.log1p(np.exp(data.astype(np.float64)))
    np.testing.assert_allclose(softplus, curve, rtol=1e-6)
    np.testing.assert_allclose(mish, data * np.tanh(curve), rtol=1e-6)
