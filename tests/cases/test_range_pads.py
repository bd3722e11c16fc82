"""A range pads with zeros: what reads them as numbers is refused by name, and compiled for exact sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from modeldyno.base.errors import CompileError
from modeldyno.compiler import compile_model
from modeldyno.runtime.open import open_session
from tests.compiler.models import constant, model, node, saved, tensor

LARGEST = [node("ArgMax", "x", "y", axis=1, keepdims=0)]
BEST = [node("TopK", "x three", "v y", axis=1)]
SCALED = [
    node("ReduceMin", "x one", "low"),
    node("ReduceMax", "x one", "high"),
    node("Sub", "x low", "p"),
    node("Sub", "high low", "q"),
    node("Div", "p q", "y"),
]


@pytest.mark.parametrize(
    ("nodes", "operator"), [(LARGEST, "ArgMax"), (BEST, "TopK"), (SCALED, "Reduce(Min|Max)")]
)
def test_a_range_that_pads_into_an_extreme_is_refused_by_name(
    tmp_path: Path, nodes: list[onnx.NodeProto], operator: str
) -> None:
    path = _saved(tmp_path, nodes)
    with pytest.raises(CompileError, match=rf"{operator} '\w+': it .* over n.*`shapes` 'x=1,4\|6\|8\|12\|16"):
        compile_model(path, tmp_path / "artifact", shapes={"x": (1, "4..16")})


def test_exact_sizes_of_such_a_model_are_right(tmp_path: Path) -> None:
    path = _saved(tmp_path, LARGEST)
    compile_model(path, tmp_path / "artifact", shapes={"x": (1, "4|11")})
    x = -np.arange(1, 12, dtype=np.float32)[None]  # logarithms of probabilities: all below zero
    found = open_session(tmp_path / "artifact", threads=1).run({"x": x})["y"]
    assert found.tolist() == [0]


def _saved(folder: Path, nodes: list[onnx.NodeProto]) -> Path:
    read = {name for each in nodes for name in each.input}
    values = [each for each in (constant("one", [1]), constant("three", [3])) if each.name in read]
    made = model(nodes, [tensor("x", [1, "n"])], [onnx.ValueInfoProto(name="y")], values, opset=18)
    return saved(folder / "m.onnx", made)
