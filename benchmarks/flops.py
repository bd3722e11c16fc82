"""Floating-point operations of an ONNX graph, counted from its shapes.

A multiply-add counts two, as usual. Counted: Conv, ConvTranspose, Gemm and MatMul, which hold nearly all the
work of the models here; element-wise operators, pooling and softmax are left out.

    python -m benchmarks.flops runs/zoo/resnet50.onnx
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import onnx
from onnx import numpy_helper, shape_inference

from modeldyno.compiler.model.onnx_flops import Shape, fixed_shapes, node_flops

# Shapes and indices that inference needs to see are small; weights are large and only their shape counts.
_KEPT_ELEMENTS = 1024


def model_flops(path: Path) -> int:
    """Count the operations of one inference of the file's graph, whose shapes must be fixed.

    Raises:
        ValueError: the shape of a counted operator's tensor is open or can't be inferred.
    """
    return graph_flops(onnx.load(path, load_external_data=False))


def graph_flops(model: onnx.ModelProto) -> int:
    """Count the operations of one inference of a model in memory; `model` is left as it is.

    Raises:
        ValueError: the shape of a counted operator's tensor is open or can't be inferred.
    """
    shapes = _shapes(model)
    return sum(node_flops(node, shapes) for node in model.graph.node if node.op_type in COUNTED)


COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def _shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Infer the fixed shapes of all the tensors, weights included."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    graph = shape_inference.infer_shapes(_without_weights(model), data_prop=True).graph
    found = fixed_shapes((*graph.input, *graph.value_info, *graph.output))
    constants = {
        node.output[0]: numpy_helper.to_array(attribute.t).shape
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    return found | weights | constants


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy of the model with the large weights turned into inputs: inference then copies no content."""
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    named = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _KEPT_ELEMENTS:
            graph.initializer.append(tensor)
        elif tensor.name not in named:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return light


def main(paths: list[str]) -> None:
    """Print the 10^9 operations of each file."""
    for path in paths:
        print(f"{path}: {model_flops(Path(path)) / 1e9:.3f} GFLOP")


if __name__ == "__main__":
    main(sys.argv[1:])
