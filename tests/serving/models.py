"""Small ONNX models, each made for what its test needs to see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modeldyno.base.rowflow.records import Verdict
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.models.loader import model_source

FLOAT, INT8, INT64 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT64
BOOL, STRING = TensorProto.BOOL, TensorProto.STRING
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 8  # eighths: every sum below is exact


def loaded(path: Path, threads: int = 1) -> ServedModel:
    """A model as a worker thread gets it."""
    return model_source(path, threads).loader()()


def verdict_of(path: Path) -> Verdict:
    """What is proved of its rows."""
    return model_source(path, 1).verdict()


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: dict[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    ir_version: int = 8,
    external: bool = False,
) -> Path:
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    domains = {"": opset, **{node.domain: 1 for node in nodes if node.domain}}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    onnx.save(
        model,
        path,
        save_as_external_data=external,
        location=f"{path.stem}.data" if external else None,
        size_threshold=0,
    )
    return path


def tensor(name: str, kind: int, shape: Sequence[int | str]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def matmul(path: Path, *, external: bool = False) -> Path:
    """y = x @ WEIGHTS, any number of rows."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    x, y = tensor("x", FLOAT, ["N", 4]), tensor("y", FLOAT, ["N", 3])
    return save(path, nodes, [x], [y], {"w": WEIGHTS}, external=external)


def pair(path: Path) -> Path:
    """total = a + sum(ids); over = (total > 0) and keep: several inputs, outputs and dtypes."""
    nodes = [
        helper.make_node("ReduceSum", ["ids"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["shift"], to=FLOAT),
        helper.make_node("Add", ["a", "shift"], ["total"]),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("And", ["positive", "keep"], ["over"]),
    ]
    inputs = [tensor("a", FLOAT, [2, 3]), tensor("ids", INT64, ["N"]), tensor("keep", BOOL, [])]
    outputs = [tensor("total", FLOAT, [2, 3]), tensor("over", BOOL, [2, 3])]
    return save(path, nodes, inputs, outputs, {"zero": np.zeros((), np.float32)})


def picky(path: Path) -> Path:
    """y = sqrt(x) in rows of 8: NaN for negative numbers; fails while it runs for an odd number of rows."""
    nodes = [helper.make_node("Sqrt", ["x"], ["root"]), helper.make_node("Reshape", ["root", "rows"], ["y"])]
    x, y = tensor("x", FLOAT, ["N", 4]), tensor("y", FLOAT, ["M", 8])
    return save(path, nodes, [x], [y], {"rows": np.array([-1, 8], np.int64)})


def busy(path: Path) -> Path:
    """Multiply a 128 x 128 matrix `n` times: the request says how long it takes."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("MatMul", ["state", "w"], ["state_out"]),
        ],
        "body",
        [tensor("i", INT64, []), tensor("go_on", BOOL, []), tensor("state", FLOAT, [128, 128])],
        [tensor("go_on_out", BOOL, []), tensor("state_out", FLOAT, [128, 128])],
    )
    nodes = [
        helper.make_node("Loop", ["n", "", "start"], ["end"], body=body),
        helper.make_node("ReduceSum", ["end"], ["y"], keepdims=0),
    ]
    weights = {"w": np.eye(128, dtype=np.float32), "start": np.eye(128, dtype=np.float32)}
    return save(path, nodes, [tensor("n", INT64, [])], [tensor("y", FLOAT, [])], weights)


def gather(path: Path) -> Path:
    """y = [0, 1/8, 2/8][ids]."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"])]
    return save(
        path, nodes, [tensor("ids", INT64, ["N"])], [tensor("y", FLOAT, ["N"])], {"table": WEIGHTS[0]}
    )


def relu(
    path: Path,
    *,
    operator: str = "Relu",
    domain: str = "",
    kind: int = FLOAT,
    opset: int = 17,
    ir_version: int = 8,
) -> Path:
    """y = relu(x), or whatever is asked for instead."""
    nodes = [helper.make_node(operator, ["x"], ["y"], domain=domain)]
    x, y = tensor("x", kind, [1, 4]), tensor("y", kind, [1, 4])
    return save(path, nodes, [x], [y], opset=opset, ir_version=ir_version)


def relu_rows(path: Path) -> Path:
    """y = relu(x), any number of rows."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    return save(path, nodes, [tensor("x", FLOAT, ["N", 4])], [tensor("y", FLOAT, ["N", 4])])


def scaled(path: Path, *, custom: bool = False) -> Path:
    """y = x / 255 where the largest number of all rows is above 1, else x; `custom` goes by way of Gelu."""
    domain = "com.microsoft" if custom else ""
    nodes = [
        helper.make_node("Gelu" if custom else "Identity", ["x"], ["g"], domain=domain),
        helper.make_node("ReduceMax", ["g"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "one"], ["large"]),
        helper.make_node("Div", ["g", "most"], ["small"]),
        helper.make_node("Where", ["large", "small", "g"], ["y"]),
    ]
    x, y = tensor("x", FLOAT, ["N", 4]), tensor("y", FLOAT, ["N", 4])
    return save(path, nodes, [x], [y], {"one": np.array(1, np.float32), "most": np.array(255, np.float32)})


def custom(path: Path) -> Path:
    """y = gelu(x), any number of rows, by an operator that is not ONNX's own."""
    nodes = [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]
    return save(path, nodes, [tensor("x", FLOAT, ["N", 4])], [tensor("y", FLOAT, ["N", 4])])


def two_lengths(path: Path, *, external: bool = False) -> Path:
    """y = a as its rows are, whatever the length of b: its reshape takes it from b."""
    nodes = [
        helper.make_node("Shape", ["b"], ["s"], start=1),
        helper.make_node("Concat", ["minus", "s"], ["t"], axis=0),
        helper.make_node("Reshape", ["a", "t"], ["y"]),
    ]
    a, b = tensor("a", FLOAT, ["N", "L"]), tensor("b", FLOAT, ["N", "L"])
    y = tensor("y", FLOAT, ["M", "L"])
    return save(path, nodes, [a, b], [y], {"minus": np.array([-1])}, external=external)


def over_rows(path: Path) -> Path:
    """y = softmax of x over its rows: what one row gets depends on the others."""
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=0)]
    return save(path, nodes, [tensor("x", FLOAT, ["N", 4])], [tensor("y", FLOAT, ["N", 4])])


def lookup(path: Path) -> Path:
    """y = [0, 1/8, 2/8][ids], any number of rows of any length."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"])]
    ids, y = tensor("ids", INT64, ["N", "L"]), tensor("y", FLOAT, ["N", "L"])
    return save(path, nodes, [ids], [y], {"table": WEIGHTS[0]})
