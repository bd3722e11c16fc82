"""The models that the server's benchmark serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALL = (256, 1024, 1024, 8)  # widths of the layers: 5 MB of weights, which one row reads for itself alone


@dataclass(frozen=True)
class Case:
    """One model to serve."""

    name: str
    width: int
    """float32 numbers a row."""
    peers: bool
    """Whether the peers are measured with it too."""
    digits: bool = False
    """Whether its numbers have as many digits as a float32 takes in JSON, some 17; else each is 0.5."""

    def rows(self) -> np.ndarray:
        """Make one row."""
        if self.digits:
            return np.random.default_rng(0).normal(size=(1, self.width)).astype(np.float32)
        return np.full((1, self.width), 0.5, np.float32)


CASES = (
    Case("tiny", 4, True),
    Case("small", _SMALL[0], False),
    Case("600 KB", 150_000, True),  # 0.75 MB as JSON
    Case("digits", 150_000, True, digits=True),  # the same as 3 MB of JSON
)


def build(path: Path, case: Case) -> Path:
    """Write the case's model: x in rows of its width, y in rows of a few numbers, any number of rows."""
    return _layers(path, _SMALL) if case.name == "small" else mean(path, case.width)


def mean(path: Path, width: int) -> Path:
    """Write y = mean(x) of each row: little work for many bytes."""
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)
    return _save(path, [node], width, 1, {"axes": np.array([1], np.int64)})


def _layers(path: Path, widths: Sequence[int]) -> Path:
    """Write dense layers: a model whose weights are read once for one row, and once for many."""
    generator = np.random.default_rng(0)
    nodes, weights, last = [], {}, "x"
    for number, (rows, columns) in enumerate(pairwise(widths)):
        weights[f"w{number}"] = (generator.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [last, f"w{number}"], [f"m{number}"]))
        last = "y" if number == len(widths) - 2 else f"r{number}"
        nodes.append(helper.make_node("Relu", [f"m{number}"], [last]))
    return _save(path, nodes, widths[0], widths[-1], weights)


def _save(path: Path, nodes: list[Any], width: int, found: int, weights: dict[str, np.ndarray]) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", found])
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path
