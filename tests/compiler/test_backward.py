"""What is read from its end, behind a reshape: TVM's flattening of `(97 - x) // 49` would read elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from modeldyno.compiler.onnx_backend import ModeldynoBackend
from tests.compiler.models import Array, constant, model, node, tensor

if TYPE_CHECKING:
    import onnx

DATA = np.arange(2 * 49, dtype=np.float32).reshape(2, 1, 7, 7)
FLIP = [constant(name, [value]) for name, value in (("b", -1), ("e", -(2**63)), ("a", -1), ("s", -1))]


@pytest.mark.parametrize(
    ("nodes", "right"),
    [
        ([node("Slice", "f b e a s", "y")], DATA.reshape(1, 98)[:, ::-1]),
        (
            [node("CumSum", "f one", "y", reverse=1, exclusive=1)],
            (98 * 97 // 2) - np.cumsum(DATA.reshape(1, 98), 1),
        ),
    ],
    ids=["slice", "cumsum"],
)
def test_a_reshape_is_read_backwards_at_the_right_places(nodes: list[onnx.NodeProto], right: Array) -> None:
    reshaped = node("Reshape", "x shape", "f")
    constants = [*FLIP, constant("shape", [1, 98]), constant("one", 1)]
    whole = model([reshaped, *nodes], [tensor("x", DATA.shape)], [tensor("y", (1, 98))], constants)
    np.testing.assert_array_equal(ModeldynoBackend.run_model(whole, [DATA])[0], right)
