"""Tiny models over sequences and rows, to see which of them may be padded."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.compiler.models import constant, model, node, tensor, weights

WIDTH, WORDS = 16, 11


def encoder(*, mask: bool, heads: int = 2) -> onnx.ModelProto:
    """A transformer's layer over ids: embedding, attention (masked or not), residual, norm, feed-forward."""
    inputs = [tensor("input_ids", ["batch", "sequence"], TensorProto.INT64)]
    nodes = [node("Gather", "table input_ids", "x")]
    for name in "qkv":
        nodes += [
            node("MatMul", f"x w{name}", f"{name}0"),
            node("Reshape", f"{name}0 split", f"{name}1"),
            node("Transpose", f"{name}1", f"{name}2", perm=[0, 2, 1, 3]),
        ]
    nodes += [
        node("Transpose", "k2", "k3", perm=[0, 1, 3, 2]),
        node("MatMul", "q2 k3", "s0"),
        node("Mul", "s0 scale", "s1"),
    ]
    if mask:
        inputs.append(tensor("attention_mask", ["batch", "sequence"], TensorProto.INT64))
        nodes += [
            node("Cast", "attention_mask", "m0", to=TensorProto.FLOAT),
            node("Unsqueeze", "m0 middle", "m1"),
            node("Sub", "one m1", "m2"),
            node("Mul", "m2 lowest", "m3"),
            node("Add", "s1 m3", "s2"),
        ]
    nodes += [
        node("Softmax", "s2" if mask else "s1", "p", axis=-1),
        node("MatMul", "p v2", "a0"),
        node("Transpose", "a0", "a1", perm=[0, 2, 1, 3]),
        node("Reshape", "a1 join", "a2"),
        node("Add", "a2 x", "r"),
        node("LayerNormalization", "r gamma beta", "n", axis=-1),
        node("MatMul", "n w1", "f0"),
        node("Relu", "f0", "f1"),
        node("MatMul", "f1 w2", "hidden"),
        node("Gather", "hidden first", "pooled", axis=1),
    ]
    values = [weights("table", WORDS, WIDTH, seed=9), constant("split", [0, 0, heads, WIDTH // heads])]
    values += [weights(f"w{name}", WIDTH, WIDTH, seed=seed) for seed, name in enumerate("qkv")]
    values += [constant("join", [0, 0, WIDTH]), constant("middle", [1, 2]), constant("first", 0)]
    values += [constant("scale", 0.35, "float32"), constant("one", 1.0, "float32")]
    values += [
        constant("lowest", -3.4e38, "float32"),
        weights("gamma", WIDTH, seed=4),
        weights("beta", WIDTH),
    ]
    values += [weights("w1", WIDTH, 2 * WIDTH, seed=5), weights("w2", 2 * WIDTH, WIDTH, seed=6)]
    outputs = [tensor("hidden", ["batch", "sequence", WIDTH]), tensor("pooled", ["batch", WIDTH])]
    return model(nodes, inputs, outputs, values)


def centred() -> onnx.ModelProto:
    """y = x minus its mean over the rows: what one row gets depends on the others."""
    nodes = [node("ReduceMean", "x", "m", axes=[0], keepdims=1), node("Sub", "x m", "y")]
    return model(nodes, [tensor("x", ["rows", 8])], [tensor("y", ["rows", 8])])


def scaled_by_all() -> onnx.ModelProto:
    """y = x over the largest of all its numbers: zeros change nothing, other rows do."""
    nodes = [
        node("Abs", "x", "a"),
        node("ReduceMax", "a", "m", keepdims=0),
        node("Div", "x m", "d"),
        node("MatMul", "d w", "y"),
    ]
    return model(nodes, [tensor("x", ["rows", 8])], [tensor("y", ["rows", 4])], [weights("w", 8, 4)])


def weighed() -> onnx.ModelProto:
    """y = x times the number of rows: rows do not read one another, but are not the same alone."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape first", "count"),
        node("Cast", "count", "rows_of_x", to=TensorProto.FLOAT),
        node("Mul", "x rows_of_x", "y"),
    ]
    return model(nodes, [tensor("x", ["rows", 8])], [tensor("y", ["rows", 8])], [constant("first", 0)])


def smoothed(length: str = "length") -> onnx.ModelProto:
    """Two convolutions along a sequence: the second reads at the edge what the first made there, its bias."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1], kernel_shape=[3]),
        node("Conv", "c w2", "y", pads=[1, 1], kernel_shape=[3]),
    ]
    values = [weights("w", 4, 4, 3), weights("b", 4, seed=1), weights("w2", 4, 4, 3, seed=2)]
    return model(nodes, [tensor("x", [1, 4, length])], [tensor("y", [1, 4, length])], values)


def tokens(batch: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Ids and a mask with a 1 in each row."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 2, (batch, length))
    mask[:, 0] = 1
    return {"input_ids": rng.integers(0, WORDS, (batch, length)), "attention_mask": mask}
