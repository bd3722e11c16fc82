"""The graphs that ship inside the `onnx` package, given seeded weights.

Their weights are constant fills made by ConstantOfShape nodes: real shapes, no content. Here they become
random ones with the statistics of trained weights: He-normal filters, BatchNorm with running statistics away
from 0 and 1 (which would fold to nothing), and a classifier small enough that the softmax is not one-hot.

    python -m benchmarks.zoo.light resnet50 resnet50.onnx
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from modeldyno.base.files import write_bytes

Array = npt.NDArray[np.float32]
# IR version 4 and later: weights need not be listed as graph inputs too.
IR_VERSION = 8


def light_model(name: str, seed: int = 0) -> onnx.ModelProto:
    """Build one of the package's light models (`resnet50`, `squeezenet`, …) with random weights."""
    model = onnx.load(_path(name))
    graph = model.graph
    rng = np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    fills = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    roles = _roles(graph)
    weights = [
        numpy_helper.from_array(
            _weight(rng, roles.get(node.output[0], ""), shapes[node.input[0]].tolist()), node.output[0]
        )
        for node in fills
    ]
    filled = {node.input[0] for node in fills}
    used = {name for node in graph.node if node.op_type != "ConstantOfShape" for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name not in filled and tensor.name in used]
    _replace(graph.node, [node for node in graph.node if node.op_type != "ConstantOfShape"])
    _replace(graph.initializer, kept + weights)
    known = {tensor.name for tensor in graph.initializer} | filled | (shapes.keys() - used)
    _replace(graph.input, [value for value in graph.input if value.name not in known])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model


def main(args: list[str]) -> None:
    """Write one model to a file."""
    name, output = args
    write_bytes(Path(output), light_model(name).SerializeToString())


def _path(name: str) -> Path:
    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"


def _roles(graph: onnx.GraphProto) -> dict[str, str]:
    """Say what each weight is to the operator that reads it, e.g. `BatchNormalization.4` for the variance.

    Unsqueeze is looked through: some graphs shape the factors and terms behind a BatchNorm by it.
    """
    roles = {name: f"{node.op_type}.{place}" for node in graph.node for place, name in enumerate(node.input)}
    for node in graph.node:
        if node.op_type == "Unsqueeze":
            roles[node.input[0]] = roles.get(node.output[0], "")
    return roles


def _weight(rng: np.random.Generator, role: str, shape: list[int]) -> Array:
    makers: dict[str, Callable[[], Any]] = {
        "BatchNormalization.1": lambda: rng.uniform(0.3, 0.9, shape),
        "BatchNormalization.2": lambda: rng.normal(0.0, 0.2, shape),
        "BatchNormalization.3": lambda: rng.normal(0.0, 0.3, shape),
        "BatchNormalization.4": lambda: rng.uniform(0.5, 1.5, shape),
        "Mul.1": lambda: rng.uniform(0.5, 1.5, shape),
        "Gemm.1": lambda: rng.normal(0.0, 0.1 / np.sqrt(shape[-1]), shape),
    }
    fan_in = max(1, int(np.prod(shape[1:])))
    default = lambda: rng.normal(0.0, np.sqrt(2.0 / fan_in) if len(shape) > 1 else 0.1, shape)  # noqa: E731 - one of the makers
    array: Array = makers.get(role, default)().astype(np.float32)
    return array


def _replace(field: Any, values: list[Any]) -> None:
    del field[:]
    field.extend(values)


if __name__ == "__main__":
    main(sys.argv[1:])
