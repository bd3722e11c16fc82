"""Operators of ONNX that go by numbers of a request, each as a model of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from modeldyno.runtime.sessions.base import AnySession

Array = npt.NDArray[Any]
_KINDS = {"f": T.FLOAT, "i": T.INT64, "j": T.INT32, "b": T.BOOL}


@dataclass(frozen=True)
class Case:
    """One operator. `index` takes `low` to `high`; `element` is where the tests put a number, in C order."""

    operator: str
    inputs: Mapping[str, tuple[str, Sequence[int]]]  # a letter for the type, and the shape
    index: str
    low: int
    high: int
    constants: Mapping[str, Array] = field(default_factory=dict)
    order: Sequence[str] = ()
    opset: int = 18
    element: int = -1
    base: Sequence[float] = (0,)  # what the other elements of the index are, again and again
    attributes: Mapping[str, Any] = field(default_factory=dict)
    out: str = "f"

    @property
    def takes(self) -> str:
        """What the message says of the bounds."""
        return f"it takes {self.low} to {self.high}"

    def model(self) -> onnx.ModelProto:
        """Make the model; the node is called `lookup`."""
        names = list(self.order) or [*self.inputs, *self.constants]
        node = helper.make_node(self.operator, names, ["y"], name="lookup", **self.attributes)
        graph = helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info(n, _KINDS[kind], s) for n, (kind, s) in self.inputs.items()],
            [helper.make_tensor_value_info("y", _KINDS[self.out], None)],
            [numpy_helper.from_array(values, name) for name, values in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)

    def feeds(self, number: float) -> dict[str, Array]:
        """Give inputs with this number in the index."""
        generator = np.random.default_rng(0)
        made: dict[str, Array] = {}
        for name, (kind, shape) in self.inputs.items():
            dtype = helper.tensor_dtype_to_np_dtype(_KINDS[kind])
            made[name] = generator.normal(size=shape).astype(dtype)
        kind, shape = self.inputs[self.index]
        index = np.resize(np.array(self.base, made[self.index].dtype), shape)
        index.reshape(-1)[self.element] = number
        made[self.index] = index
        return made


def weights(*shape: int) -> Array:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


_RNN = {
    "order": ("x", "w", "r", "", "i"),
    "index": "i",
    "low": 0,
    "high": 5,
    "attributes": {"hidden_size": 4},
}
_RNN_INPUTS = {"x": ("f", [5, 2, 3]), "i": ("j", [2])}
_SCATTERED = {"x": ("f", [3, 4]), "i": ("i", [2, 4]), "u": ("f", [2, 4])}
# Other elements of a scattered index point elsewhere: the order of two writes to one place is nobody's.
CASES: dict[str, Case] = {
    "Gather": Case("Gather", {"x": ("f", [5, 3]), "i": ("i", [2, 2])}, "i", -5, 4),
    "Gather, axis 1, int32": Case(
        "Gather", {"x": ("f", [5, 3]), "i": ("j", [2])}, "i", -3, 2, attributes={"axis": 1}
    ),
    "Gather, one index": Case("Gather", {"x": ("f", [5, 3]), "i": ("i", [])}, "i", -5, 4),
    "Gather, whole numbers": Case("Gather", {"x": ("i", [5, 3]), "i": ("i", [2])}, "i", -5, 4, out="i"),
    "Gather, a table": Case("Gather", {"i": ("i", [2, 3])}, "i", -7, 6, {"t": weights(7, 2)}, ("t", "i")),
    "GatherElements": Case(
        "GatherElements", {"x": ("f", [3, 4]), "i": ("i", [3, 2])}, "i", -4, 3, attributes={"axis": -1}
    ),
    "GatherND": Case("GatherND", {"x": ("f", [3, 4]), "i": ("i", [2, 2])}, "i", -4, 3),
    "GatherND, first slot": Case("GatherND", {"x": ("f", [3, 4]), "i": ("i", [2, 2])}, "i", -3, 2, element=2),
    "GatherND, batches": Case(
        "GatherND", {"x": ("f", [2, 3, 4]), "i": ("i", [2, 3, 1])}, "i", -3, 2, attributes={"batch_dims": 1}
    ),
    "Scatter": Case("Scatter", _SCATTERED, "i", -3, 2, opset=10, base=(1,), element=0),
    "ScatterElements": Case(
        "ScatterElements", _SCATTERED, "i", -3, 2, base=(1,), attributes={"axis": 0, "reduction": "add"}
    ),
    "ScatterND": Case("ScatterND", {"x": ("f", [3, 4]), "i": ("i", [1, 2]), "u": ("f", [1])}, "i", -4, 3),
    "RoiAlign": Case(
        "RoiAlign",
        {"x": ("f", [2, 3, 8, 8]), "r": ("f", [3, 4]), "i": ("i", [3])},
        "i",
        0,
        1,
        attributes={"output_height": 2, "output_width": 2, "sampling_ratio": 2},
    ),
    "MaxRoiPool": Case(
        "MaxRoiPool",
        {"x": ("f", [2, 3, 8, 8]), "i": ("f", [3, 5])},
        "i",
        0,
        1,
        element=0,
        base=(0, 0, 0, 4, 4),
        attributes={"pooled_shape": [2, 2]},
    ),
    "MaxUnpool": Case(
        "MaxUnpool",
        {"x": ("f", [1, 1, 2, 2]), "i": ("i", [1, 1, 2, 2])},
        "i",
        0,
        15,
        base=(2, 5, 8, 11),
        attributes={"kernel_shape": [2, 2], "strides": [2, 2]},
    ),
    "TensorScatter": Case(
        "TensorScatter",
        {"x": ("f", [2, 6, 3]), "u": ("f", [2, 2, 3]), "i": ("i", [2])},
        "i",
        0,
        4,
        opset=24,
        attributes={"axis": 1},
    ),
    "LSTM": Case("LSTM", _RNN_INPUTS, constants={"w": weights(1, 16, 3), "r": weights(1, 16, 4)}, **_RNN),  # type: ignore[arg-type]
    "GRU": Case("GRU", _RNN_INPUTS, constants={"w": weights(1, 12, 3), "r": weights(1, 12, 4)}, **_RNN),  # type: ignore[arg-type]
    "RNN": Case("RNN", _RNN_INPUTS, constants={"w": weights(1, 4, 3), "r": weights(1, 4, 4)}, **_RNN),  # type: ignore[arg-type]
}


def compiled(made: onnx.ModelProto, folder: Path) -> AnySession:
    """Compile without the parity check, whose reference would end this process with a bad number."""
    onnx.save(made, folder / "m.onnx")
    compile_model(folder / "m.onnx", folder / "out", options=Options(verify=False))
    return open_session(folder / "out", threads=1)


def reference(made: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(made.SerializeToString(), options)
