"""Tiny ONNX models, made with onnx.helper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = Sequence[int | str | None]
OPSET, IR_VERSION = 17, 8


def tensor(name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def weights(name: str, *shape: int, seed: int = 0) -> onnx.TensorProto:
    values = np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def constant(name: str, values: Any, dtype: str = "int64") -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = OPSET,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "tiny", list(inputs), list(outputs), list(initializers))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """Make a node; names are split at spaces."""
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def conv_net(batch: int | str = 1) -> onnx.ModelProto:
    """Conv, BatchNorm, Relu, MaxPool, mean, Gemm: an image of 3 x 12 x 12 becomes 5 logits."""
    nodes = [
        node("Conv", "image w b", "c", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("BatchNormalization", "c gamma beta mean var", "n"),
        node("Relu", "n", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", "p", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f w2 b2", "logits", transB=1),
    ]
    values = [weights("w", 16, 3, 3, 3), weights("b", 16), weights("gamma", 16, seed=1), weights("beta", 16)]
    values += [weights("mean", 16, seed=2), constant("var", np.linspace(0.5, 2, 16), "float32")]
    values += [weights("w2", 5, 16), weights("b2", 5)]
    return model(nodes, [tensor("image", [batch, 3, 12, 12])], [tensor("logits", [batch, 5])], values)


def mlp(rows: int | str = 2) -> onnx.ModelProto:
    """Two dense layers with a GELU-like tanh between: 8 numbers become 3."""
    nodes = [
        node("MatMul", "x w1", "h"),
        node("Add", "h b1", "hb"),
        node("Tanh", "hb", "t"),
        node("MatMul", "t w2", "o"),
        node("Softmax", "o", "y", axis=-1),
    ]
    values = [weights("w1", 8, 24), weights("b1", 24), weights("w2", 24, 3)]
    return model(nodes, [tensor("x", [rows, 8])], [tensor("y", [rows, 3])], values)


def det_net() -> onnx.ModelProto:
    """Convolution and Gemm around determinants, which are not compiled: 3 x 12 x 12 become 5 logits."""
    nodes = [
        node("Conv", "image w b", "c", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Tanh", "c", "r"),
        node("Det", "r", "d", name="area"),
        node("GlobalAveragePool", "r", "g"),
        node("Flatten", "g", "f"),
        node("Add", "f d", "s"),
        node("Gemm", "s w2 b2", "logits", transB=1),
    ]
    values = [weights("w", 16, 3, 3, 3), weights("b", 16), weights("w2", 5, 16), weights("b2", 5)]
    return model(nodes, [tensor("image", [1, 3, 12, 12])], [tensor("logits", [1, 5])], values)


def counted(rows: int | str = "rows") -> onnx.ModelProto:
    """A convolution of whole numbers, which is not compiled, between what is: 6 x 6 x 8 become 5."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("ConvInteger", "t filters", "c", name="whole", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Cast", "c", "f", to=TensorProto.FLOAT),
        node("GlobalAveragePool", "f", "g"),
        node("Flatten", "g", "flat"),
        node("Gemm", "flat w b", "y", transB=1),
    ]
    filters = np.random.default_rng(1).integers(-9, 9, (32, 8, 3, 3))
    values = [constant("filters", filters, "int8"), weights("w", 5, 32), weights("b", 5)]
    inputs = [tensor("x", [rows, 6, 6, 8], TensorProto.UINT8)]
    return model(nodes, inputs, [tensor("y", [rows, 5])], values)


def text_net() -> onnx.ModelProto:
    """Words become numbers in an operator that reads text, and the numbers go through a product."""
    nodes = [
        node(
            "LabelEncoder", "words", "ids", domain="ai.onnx.ml", keys_strings=["a", "b"], values_int64s=[1, 2]
        ),
        node("Cast", "ids", "numbers", to=TensorProto.FLOAT),
        node("MatMul", "numbers w", "y"),
    ]
    made = model(
        nodes,
        [tensor("words", [2, 4], TensorProto.STRING)],
        [tensor("y", [2, 3])],
        [weights("w", 4, 3)],
    )
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    return made


def add_net() -> onnx.ModelProto:
    """y = x + x, over 2 x 3 numbers: the smallest model there is."""
    return model([node("Add", "x x", "y")], [tensor("x", [2, 3])], [tensor("y", [2, 3])])


def saved(path: Path, made: onnx.ModelProto) -> Path:
    onnx.save(made, path)
    return path
