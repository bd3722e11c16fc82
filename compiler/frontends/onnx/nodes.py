"""Single facts of an ONNX graph: the type of a tensor, a constant's values, an attribute of a node."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.onnx_graph import OnnxGraph


def kind_of(graph: OnnxGraph, name: str) -> str:
    """Give numpy's letter for a tensor's type; empty where it is no tensor of numbers."""
    kind = graph.types.get(name)
    number = kind.tensor_type.elem_type if kind is not None else 0
    if name in graph.weights and graph.weights[name] is not None:
        number = graph.weights[name].data_type  # type: ignore[union-attr] # looked at one line above
    if not number:
        return ""
    return str(np.dtype(helper.tensor_dtype_to_np_dtype(number)).kind)


def has_body(node: onnx.NodeProto) -> bool:
    """Whether a node holds graphs: branches, or the body of a loop."""
    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return any(each.type in kinds for each in node.attribute)


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Give a whole-number attribute."""
    return next((int(each.i) for each in node.attribute if each.name == name), default)


def reduces(node: onnx.NodeProto) -> bool:
    """Whether a scatter combines values that go to one place."""
    return any(each.name == "reduction" and each.s not in (b"", b"none") for each in node.attribute)


def constant_of(graph: OnnxGraph, name: str) -> Array | None:
    """Give a tensor's values where they are a constant that is kept with the graph; None otherwise."""
    tensor = graph.weights.get(name)
    if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    return np.asarray(numpy_helper.to_array(tensor))


def counted(graph: OnnxGraph, name: str) -> int:
    """Give how far a constant counts from 0 on; 0 where it does not."""
    values = constant_of(graph, name)
    if values is None or values.size < 2 or values.dtype.kind not in "iuf":
        return 0
    return values.size if np.array_equal(values.ravel(), np.arange(values.size)) else 0
