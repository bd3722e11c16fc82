"""An ONNX model's graph as plain records. It takes the model apart without importing onnx.

Whoever has onnx at hand gives its two functions for attributes and tensors, and a model whose own functions
are inlined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modeldyno.base.rowflow.records import MOST_NUMBERS, Constant, Graph, Input, Node

_TENSOR, _GRAPH = 4, 5  # AttributeProto's numbers for types of attributes
_FLOATS, _UNSIGNED, _BOOL = (1, 10, 11, 16), (2, 4, 12, 13), 9  # TensorProto's for types of elements
_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class Reader:
    """onnx's `helper.get_attribute_value` and `numpy_helper.to_array`; `weights`: look into large ones."""

    attribute: Callable[[Any], Any]
    array: Callable[[Any], Any]
    weights: bool = False

    def graph(self, model: Any) -> Graph:
        """Give the main graph of a model."""
        opsets = {entry.domain: entry.version for entry in model.opset_import}
        opset = next((opsets[domain] for domain in _STANDARD if domain in opsets), 1)
        return self._graph(model.graph, int(opset))

    def _graph(self, graph: Any, opset: int) -> Graph:
        constants = {tensor.name: self._constant(tensor) for tensor in graph.initializer}
        constants |= {
            tensor.values.name: Constant(tuple(tensor.dims), _kind(tensor.values.data_type))
            for tensor in graph.sparse_initializer
        }
        nodes = []
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in _STANDARD:
                constants[node.output[0]] = self._made(node)
            else:
                nodes.append(self._node(node, opset))
        inputs = (_input(value) for value in graph.input if value.name not in constants)
        return Graph(
            nodes=tuple(nodes),
            inputs=tuple(inputs),
            outputs=tuple(value.name for value in graph.output),
            constants=constants,
            opset=opset,
        )

    def _node(self, node: Any, opset: int) -> Node:
        plain = [each for each in node.attribute if each.type != _GRAPH]
        return Node(
            operator=node.op_type,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes={each.name: self._value(each) for each in plain},
            domain=node.domain,
            name=node.name,
            bodies={each.name: self._graph(each.g, opset) for each in node.attribute if each.type == _GRAPH},
        )

    def _value(self, attribute: Any) -> Any:
        value = self.attribute(attribute)
        if attribute.type != _TENSOR:
            return value
        constant = self._constant(value)
        return constant.numbers[0] if constant.numbers and len(constant.numbers) == 1 else constant

    def _constant(self, tensor: Any) -> Constant:
        shape, kind = tuple(int(each) for each in tensor.dims), _kind(tensor.data_type)
        elsewhere = bool(tensor.data_location) and not self.weights
        count = math.prod(shape)
        if elsewhere or kind not in "fiub" or not (self.weights or count <= MOST_NUMBERS):
            return Constant(shape, kind)
        array = self.array(tensor)
        numbers = tuple(array.reshape(-1).tolist()) if count <= MOST_NUMBERS else None
        return Constant(shape, kind, numbers, kind != "f" or _is_finite(array))

    def _made(self, node: Any) -> Constant:
        """Give what a Constant node holds."""
        found: Mapping[str, Any] = {each.name: each for each in node.attribute} or {"": None}
        if "value" in found:
            return self._constant(found["value"].t)
        name, attribute = next(iter(found.items()))
        if name in ("value_int", "value_float"):
            return _listed([self.attribute(attribute)], ())
        if name in ("value_ints", "value_floats"):
            numbers = list(self.attribute(attribute))
            return _listed(numbers, (len(numbers),))
        if name == "sparse_value":
            return Constant(tuple(attribute.sparse_tensor.dims), "f")
        return Constant((), "O")


def _is_finite(array: Any) -> bool:
    if not array.size:
        return True
    # A NaN anywhere makes both of them NaN.
    return math.isfinite(float(array.min())) and math.isfinite(float(array.max()))


def _listed(numbers: Iterable[Any], shape: tuple[int, ...]) -> Constant:
    found = tuple(numbers)
    kind = "f" if any(isinstance(each, float) for each in found) else "i"
    return Constant(shape, kind, found if len(found) <= MOST_NUMBERS else None)


def _kind(number: int) -> str:
    if number in _FLOATS:
        return "f"
    if number == _BOOL:
        return "b"
    if number in _UNSIGNED:
        return "u"
    return "i" if number in (3, 5, 6, 7) else "O"


def _input(value: Any) -> Input:
    if value.type.WhichOneof("value") != "tensor_type" or not value.type.tensor_type.HasField("shape"):
        return Input(value.name, None, "O")
    tensor = value.type.tensor_type
    return Input(value.name, tuple(map(_size, tensor.shape.dim)), _kind(tensor.elem_type))


def _size(dim: Any) -> int | str | None:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) if dim.HasField("dim_param") and dim.dim_param else None
