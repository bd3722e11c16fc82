"""Small models that between them have every kind of kernel, at sizes that fill no tile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx

from tests.compiler.models import constant, conv_net, model, node, tensor, weights

Make = Callable[[], onnx.ModelProto]


def odd_convolutions() -> onnx.ModelProto:
    """Filters, steps, paddings, gaps and groups over an image of 13 x 11 pixels; channels are primes."""
    convs: list[tuple[str, tuple[int, ...], dict[str, Any], str]] = [
        ("3x3", (7, 5, 3, 3), {"pads": [1, 1, 1, 1]}, "x"),
        ("1x1", (37, 7, 1, 1), {}, "3x3"),
        ("5x5", (11, 37, 5, 5), {"pads": [2, 1, 2, 1], "strides": [2, 2]}, "1x1"),
        ("gaps", (6, 7, 3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, "3x3"),
        ("groups", (9, 2, 3, 3), {"group": 3, "pads": [0, 1, 2, 1]}, "gaps"),
        ("depthwise", (37, 1, 3, 3), {"group": 37, "pads": [1, 1, 1, 1]}, "1x1"),
        ("depthwise2", (37, 1, 5, 5), {"group": 37, "pads": [2, 2, 2, 2], "strides": [2, 2]}, "depthwise"),
    ]
    nodes, values = [], []
    for seed, (name, shape, attributes, source) in enumerate(convs):
        nodes.append(node("Conv", f"{source} w{name}", name, kernel_shape=list(shape[2:]), **attributes))
        values.append(weights(f"w{name}", *shape, seed=seed))
    nodes += [
        node("ConvTranspose", "groups wt", "t", kernel_shape=[3, 3], strides=[2, 2]),
        node("MaxPool", "depthwise", "most", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]),
        node("AveragePool", "depthwise", "mean", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
    ]
    values.append(weights("wt", 9, 4, 3, 3, seed=20))
    outputs = {
        "5x5": (1, 11, 7, 5),
        "depthwise2": (1, 37, 7, 6),
        "t": (1, 4, 27, 23),
        "most": (1, 37, 7, 5),
        "mean": (1, 37, 13, 11),
    }
    named = [tensor(name, shape) for name, shape in outputs.items()]
    return model(nodes, [tensor("x", [1, 5, 13, 11])], named, values)


def winograd() -> onnx.ModelProto:
    """Two convolutions of 3 x 3 with enough channels to be done by Winograd's way, over 23 x 29 pixels."""
    nodes = [
        node("Conv", "x w1", "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "a", "r"),
        node("Conv", "r w2", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    values = [weights("w1", 64, 64, 3, 3), weights("w2", 67, 64, 3, 3, seed=1)]
    return model(nodes, [tensor("x", [1, 64, 23, 29])], [tensor("y", [1, 67, 23, 29])], values)


def attention() -> onnx.ModelProto:
    """Three heads of 20 numbers over 37 tokens with a mask, then LayerNorm, and a GELU between two layers."""
    nodes = [
        node("Gather", "table ids", "x", axis=0),
        *(node("MatMul", f"x w{name}", name) for name in "qkv"),
        *(node("Reshape", f"{name} heads", f"{name}1") for name in "qkv"),
        *(node("Transpose", f"{name}1", f"{name}2", perm=[0, 2, 1, 3]) for name in "qv"),
        node("Transpose", "k1", "k3", perm=[0, 2, 3, 1]),
        node("MatMul", "q2 k3", "scores"),
        node("Mul", "scores scale", "scaled"),
        node("Add", "scaled mask", "masked"),
        node("Softmax", "masked", "shares", axis=-1),
        node("MatMul", "shares v2", "mixed"),
        node("Transpose", "mixed", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "back flat", "joined"),
        node("Add", "joined x", "sum"),
        node("LayerNormalization", "sum gamma beta", "normed", axis=-1),
        node("MatMul", "normed w1", "h"),
        node("Div", "h root2", "h1"),
        node("Erf", "h1", "h2"),
        node("Add", "h2 one", "h3"),
        node("Mul", "h h3", "h4"),
        node("Mul", "h4 half", "g"),
        node("MatMul", "g w2", "y"),
    ]
    values = [
        *(weights(f"w{name}", 60, 60, seed=seed) for seed, name in enumerate("qkv")),
        weights("table", 50, 60, seed=4),
        weights("gamma", 60, seed=5),
        weights("beta", 60, seed=6),
        weights("w1", 60, 101, seed=7),
        weights("w2", 101, 19, seed=8),
        constant("heads", [1, 37, 3, 20]),
        constant("flat", [1, 37, 60]),
        *(constant(name, value, "float32") for name, value in _NUMBERS.items()),
    ]
    inputs = [tensor("ids", [1, 37], onnx.TensorProto.INT64), tensor("mask", [1, 1, 1, 37])]
    return model(nodes, inputs, [tensor("y", [1, 37, 19])], values)


_NUMBERS = {"scale": 20**-0.5, "root2": 2**0.5, "one": 1.0, "half": 0.5}


def curves() -> onnx.ModelProto:
    """Functions of one number, over rows of 37, and sums, products and orders of a row."""
    ones = ("Exp", "Sigmoid", "Tanh", "Erf", "Softplus", "HardSwish", "Elu", "Sqrt", "Log", "Sin", "Round")
    made = {"Sqrt": "positive", "Log": "positive"}
    nodes = [node("Abs", "x", "absolute"), node("Add", "absolute small", "positive")]
    nodes += [node(op, made.get(op, "x"), op) for op in ones]
    nodes += [
        node("Softmax", "x", "SoftmaxRow", axis=-1),
        node("Softmax", "x", "SoftmaxColumn", axis=0),
        node("LogSoftmax", "x", "LogSoftmax", axis=-1),
        node("ReduceSum", "x axes", "Sums", keepdims=0),
        node("ReduceMax", "x", "Most", axes=[0], keepdims=0),
        node("ArgMax", "x", "Where", axis=1, keepdims=0),
        node("Cast", "x", "Whole", to=onnx.TensorProto.INT32),
    ]
    rows = [*ones, "SoftmaxRow", "SoftmaxColumn", "LogSoftmax"]
    outputs = [
        *(tensor(name, [5, 37]) for name in rows),
        tensor("Sums", [5]),
        tensor("Most", [37]),
        tensor("Where", [5], onnx.TensorProto.INT64),
        tensor("Whole", [5, 37], onnx.TensorProto.INT32),
    ]
    values = [constant("small", 0.01, "float32"), constant("axes", [1])]
    return model(nodes, [tensor("x", [5, 37])], outputs, values)


GALLERY: dict[str, Make] = {
    "network": conv_net,
    "odd_convolutions": odd_convolutions,
    "winograd": winograd,
    "attention": attention,
    "curves": curves,
}
