"""A simplified ONNX model as a graph that parts can be cut from: who reads what, types, constants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx
from onnx import helper

from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.model.onnx_flops import Shape, fixed_shape, fixed_shapes, node_flops
from modeldyno.runtime.records.segments import FallbackOperator

# Element types that compiled code takes and gives, by ONNX's number: numpy's, but complex ones.
_COMPILED = frozenset(
    number
    for number in onnx.TensorProto.DataType.values()
    if number not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)
    and np.dtype(helper.tensor_dtype_to_np_dtype(number)).kind in "fiub"
    and np.dtype(helper.tensor_dtype_to_np_dtype(number)).isbuiltin == 1
)


class OnnxGraph:
    """The nodes of a model in order, and what is known of the tensors between them."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.weights: dict[str, onnx.TensorProto | None] = {
            **{tensor.name: tensor for tensor in model.graph.initializer},
            **{tensor.values.name: None for tensor in model.graph.sparse_initializer},
        }
        graph = model.graph
        values = (*graph.value_info, *graph.output, *graph.input)
        self.types = {value.name: value.type for value in values if value.type.WhichOneof("value")}
        self.shapes = fixed_shapes(values, graph.initializer)
        self.inputs = [value.name for value in graph.input if value.name not in self.weights]
        self.outputs = [value.name for value in graph.output]
        self.nodes = [*map(self._named_constant, self._constant_outputs()), *graph.node]
        self.reads = [tuple(dict.fromkeys(reads(node))) for node in self.nodes]
        self.maker = {name: place for place, node in enumerate(self.nodes) for name in node.output if name}
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}

    def _constant_outputs(self) -> list[str]:
        """Give the outputs that nothing computes; each then is computed, from a constant of another name."""
        return [name for name in self.outputs if self.weights.get(name) is not None]

    def _named_constant(self, name: str) -> onnx.NodeProto:
        tensor = onnx.TensorProto()
        tensor.CopyFrom(self.weights.pop(name))
        tensor.name = f"{name}__constant"
        self.weights[tensor.name] = tensor
        return helper.make_node("Identity", [tensor.name], [name])

    def before(self, place: int) -> list[int]:
        """Places of the nodes whose results a node reads."""
        return sorted({self.maker[name] for name in self.reads[place] if name in self.maker})

    def is_numbers(self, name: str) -> bool:
        """Whether a tensor is of a type that compiled code takes, and of a shape that is known."""
        if name in self.weights:
            tensor = self.weights[name]
            return tensor is not None and tensor.data_type in _COMPILED
        kind = self.types.get(name)
        return kind is not None and kind.tensor_type.elem_type in _COMPILED and fixed_shape(kind) is not None

    def takes_and_gives_numbers(self) -> bool:
        """Whether all inputs and outputs of the model are what compiled code takes and gives."""
        return all(map(self.is_numbers, self.inputs)) and all(map(self._may_come_out, self.outputs))

    def why_foreign(self, place: int) -> str:
        """Say why compiled code can't hold what a node reads or gives; empty where it can."""
        for name in self.reads[place]:
            if not self.is_numbers(name):
                return f"it reads a tensor {self._type_words(name)}"
        for name in self.nodes[place].output:
            if name and not self._may_come_out(name):
                return f"it gives a tensor {self._type_words(name)}"
        return ""

    def _may_come_out(self, name: str) -> bool:
        kind = self.types.get(name)
        return kind is not None and kind.tensor_type.elem_type in _COMPILED

    def _type_words(self, name: str) -> str:
        kind = self.types.get(name)
        constant = self.weights.get(name)
        if constant is not None:
            return f"of type {onnx.TensorProto.DataType.Name(constant.data_type)}"
        if kind is None:
            return "whose type is not known"
        which = kind.WhichOneof("value")
        if which != "tensor_type":
            return f"that is a {which.removesuffix('_type')}"
        if kind.tensor_type.elem_type not in _COMPILED:
            return f"of type {onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type)}"
        return "whose shape is known only when it runs"

    def boundary(self, places: Iterable[int]) -> tuple[list[str], list[str]]:
        """Give what nodes read from outside (weights left out), and what of theirs is read outside."""
        inside = set(places)
        made = [name for place in sorted(inside) for name in self.nodes[place].output if name]
        own = set(made)
        read = dict.fromkeys(name for place in sorted(inside) for name in self.reads[place])
        outside = {
            name for place in range(len(self.nodes)) if place not in inside for name in self.reads[place]
        }
        wanted = outside | set(self.outputs)
        inputs = [name for name in read if name not in own and name not in self.weights]
        return inputs, [name for name in made if name in wanted]

    def cut(self, places: Iterable[int]) -> onnx.ModelProto:
        """Give the nodes as a model of their own, with the weights that they read."""
        inside = sorted(set(places))
        inputs, outputs = self.boundary(inside)
        if not outputs:  # nobody reads them: what they give is all that can be looked at
            outputs = [name for place in inside for name in self.nodes[place].output if name]
        read = {name for place in inside for name in self.reads[place]}
        part = onnx.ModelProto(ir_version=self.model.ir_version, opset_import=self.model.opset_import)
        part.functions.extend(self.model.functions)
        part.graph.name = "segment"
        part.graph.node.extend(self.nodes[place] for place in inside)
        part.graph.input.extend(self.value(name) for name in inputs)
        part.graph.output.extend(self.value(name) for name in outputs)
        part.graph.initializer.extend(
            tensor for name, tensor in self.weights.items() if name in read and tensor is not None
        )
        part.graph.sparse_initializer.extend(
            tensor for tensor in self.model.graph.sparse_initializer if tensor.values.name in read
        )
        made = {name for place in inside for name in self.nodes[place].output}
        part.graph.value_info.extend(
            value for value in self.model.graph.value_info if value.name in made - set(outputs)
        )
        return part

    def value(self, name: str) -> onnx.ValueInfoProto:
        """Give a tensor as an input or output of an ONNX graph."""
        value = onnx.ValueInfoProto(name=name)
        if name in self.types:
            value.type.CopyFrom(self.types[name])
        return value

    def spec(self, name: str) -> TensorSpec:
        """Give a tensor of numbers as an input or output of an artifact."""
        kind = self.types[name].tensor_type
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
        sizes = kind.shape.dim if kind.HasField("shape") else ()
        shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)
        return TensorSpec(name=name, dtype=dtype, shape=shape)

    def flops(self, places: Iterable[int], measured: dict[str, Shape] | None = None) -> int | None:
        """Count the operations of nodes; None where a shape is neither known nor in `measured`."""
        shapes = {**self.shapes, **(measured or {})}
        try:
            return sum(node_flops(self.nodes[place], shapes) for place in places)
        except (ValueError, IndexError, StopIteration):  # of a custom operator by a known name, say
            return None

    def operator(self, place: int, why: str) -> FallbackOperator:
        """Put a node on record that is not compiled, and why."""
        node = self.nodes[place]
        return FallbackOperator(
            operator=node.op_type,
            node=node.name or next(iter(node.output), ""),
            domain=node.domain or "ai.onnx",
            opset=self.opsets.get(node.domain) or self.opsets.get("ai.onnx" if not node.domain else ""),
            why=why,
        )

    def names(self, places: Sequence[int]) -> Iterator[str]:
        """Word the operators of nodes, each once: with how many there are."""
        kinds = [self.nodes[place].op_type for place in places]
        for kind in dict.fromkeys(kinds):
            count = kinds.count(kind)
            yield kind if count == 1 else f"{kind} x{count}"


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Give the tensors that a node reads, those that its bodies take from around it too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in (
            *([attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else []),
            *attribute.graphs,
        ):
            yield from from_around(body)


def from_around(body: onnx.GraphProto) -> Iterator[str]:
    """Give the tensors that a body takes from the graph around it."""
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    for node in body.node:
        yield from (name for name in reads(node) if name not in own)
        own.update(node.output)
    yield from (value.name for value in body.output if value.name not in own)
