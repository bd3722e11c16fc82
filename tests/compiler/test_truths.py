"""Truth values that several stages of one kernel read: they are held in bytes between them."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modeldyno.compiler.onnx_backend import ModeldynoBackend
from tests.compiler.models import model, node, tensor


def test_truths_that_two_parts_of_a_kernel_read() -> None:
    data = np.arange(11 * 48).reshape(11, 48) % 3 == 0
    nodes = [node("Not", "x", "n"), node("Split", "n", "a b", axis=0, num_outputs=2)]
    outputs = [tensor(name, (rows, 48), TensorProto.BOOL) for name, rows in (("a", 6), ("b", 5))]
    whole = model(nodes, [tensor("x", data.shape, TensorProto.BOOL)], outputs, opset=18)
    above, below = ModeldynoBackend.run_model(whole, [data])
    np.testing.assert_array_equal(above, ~data[:6])
    np.testing.assert_array_equal(below, ~data[6:])
