"""Many small operators in one model: compiled once, each output compared with ONNX Runtime's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One operator. `inputs` are named where the graph's inputs have that name; arrays are constants."""

    kind: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        shown = [each if isinstance(each, str) else np.asarray(each).tolist() for each in self.inputs]
        return f"{self.kind}{shown}{self.attributes}"


def joined(cases: list[Case], feeds: dict[str, Array], opset: int) -> onnx.ModelProto:
    nodes, constants = [], []
    for number, case in enumerate(cases):
        names = []
        for place, given in enumerate(case.inputs):
            names.append(given if isinstance(given, str) else f"c{number}_{place}")
            if not isinstance(given, str):
                constants.append(numpy_helper.from_array(np.asarray(given), names[-1]))
        nodes.append(helper.make_node(case.kind, names, [f"y{number}"], **case.attributes))
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
        if any(name in [each for each in case.inputs if isinstance(each, str)] for case in cases)
    ]
    outputs = [helper.make_empty_tensor_value_info(node.output[0]) for node in nodes]
    graph = helper.make_graph(nodes, "many", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made)


def differing(cases: list[Case], feeds: dict[str, Array], opset: int, folder: Path) -> list[str]:
    """Name the operators whose compiled outputs are not ONNX Runtime's."""
    made = joined(cases, feeds, opset)
    onnx.save(made, folder / "m.onnx")
    given = {value.name: feeds[value.name] for value in made.graph.input}
    wanted = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, given
    )
    compile_model(folder / "m.onnx", folder / "a", options=Options(verify=False))
    found = open_session(folder / "a", threads=1).run(given)
    pairs = zip(cases, found.values(), wanted, strict=True)
    return [
        f"{case.name}: {got.dtype}{list(got.shape)} {got.ravel()[:4]}, not {want.dtype}{list(want.shape)} "
        f"{want.ravel()[:4]}"
        for case, got, want in pairs
        if not _same(got, want)
    ]


def _same(got: Array, want: Array) -> bool:
    if got.dtype != want.dtype or got.shape != want.shape:
        return False
    tolerance = 0.0 if want.dtype.kind != "f" else 2e-3 if want.dtype == np.float16 else 1e-4
    return np.allclose(got.astype(np.float64), want.astype(np.float64), tolerance, tolerance, equal_nan=True)
