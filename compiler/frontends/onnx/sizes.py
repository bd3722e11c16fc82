"""Tensors that are too large to be meant: named before anything makes room for them."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import shape_inference

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.onnx.weights import without_weights
from modeldyno.compiler.model.fixed_shapes import MOST_ELEMENTS, show_shape
from modeldyno.compiler.model.onnx_flops import fixed_shape


def check_sizes(path: Path, model: onnx.ModelProto) -> None:
    """Refuse a tensor of absurd size by the node that gives it.

    Raises:
        ModelError: it would hold more than `MOST_ELEMENTS` numbers.
    """
    try:
        graph = shape_inference.infer_shapes(without_weights(model), data_prop=True).graph
    except shape_inference.InferenceError:
        return  # whoever loads the model says what is wrong with it
    makers = {name: node for node in graph.node for name in node.output}
    for value in (*graph.value_info, *graph.output):
        shape = fixed_shape(value.type)
        if shape and math.prod(shape) > MOST_ELEMENTS and value.name in makers:
            node = makers[value.name]
            raise ModelError(
                f"{path}: {node.op_type} (node {node.name or node.output[0]!r}) gives {value.name!r} of "
                f"shape {show_shape(shape)}, which would hold {math.prod(shape):.1e} numbers; the most "
                f"that is compiled for is {MOST_ELEMENTS:.1e}: give the inputs smaller shapes"
            )
