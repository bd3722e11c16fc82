"""Models in float16 or bfloat16, written in float32: weights, constants, and types that operators name.

A float16 input or output keeps its type, with a cast behind or before it. A bfloat16 one becomes float32:
numpy has no bfloat16, and float32 holds each of its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modeldyno.compiler.frontends.onnx.weights import Loaded
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.precision.formats import BFLOAT16, FLOAT16

_KINDS = {TensorProto.FLOAT16: FLOAT16.name, TensorProto.BFLOAT16: BFLOAT16.name}
# Attributes that name an element type.
_TYPES = frozenset(
    ("to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision", "precision")
)
_WIDE = "__float32"


def narrow_kinds(model: onnx.ModelProto) -> frozenset[str]:
    """Name the narrow formats that a model holds numbers in, or computes in."""
    graph = model.graph
    found = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    found |= {tensor.data_type for tensor in graph.initializer}
    nodes = (*nodes_of(graph.node), *(node for each in model.functions for node in nodes_of(each.node)))
    for node in nodes:
        for each in node.attribute:
            found |= {each.i} if each.name in _TYPES else set()
            found |= {tensor.data_type for tensor in _tensors(each)}
    return frozenset(_KINDS[kind] for kind in found & set(_KINDS))


def widened(loaded: Loaded) -> Loaded:
    """Give a model that was read, in float32; its message is changed in place."""
    model = loaded.model
    mapped = _widen_weights(model.graph, loaded.mapped)
    for node in nodes_of(model.graph.node):
        _widen_node(node)
    for function in model.functions:
        del function.value_info[:]
        for node in nodes_of(function.node):
            _widen_node(node)
    names = _widen_ends(model.graph)
    return Loaded(model, {names.get(name, name): array for name, array in mapped.items()}, loaded.files)


def nodes_of(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Give nodes, and those of their bodies."""
    for node in nodes:
        yield node
        for body in _bodies(node):
            yield from nodes_of(body.node)


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for each in node.attribute:
        yield from ([each.g] if each.HasField("g") else [])
        yield from each.graphs


def _tensors(each: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    yield from ([each.t] if each.HasField("t") else [])
    yield from each.tensors


def _widen_weights(graph: onnx.GraphProto, mapped: Mapping[str, Array]) -> dict[str, Array]:
    wide = dict(mapped)
    for tensor in graph.initializer:
        if tensor.data_type not in _KINDS:
            continue
        if tensor.name in wide:
            wide[tensor.name] = wide[tensor.name].astype(np.float32)
            tensor.data_type = TensorProto.FLOAT
        else:
            _widen_tensor(tensor)
    return wide


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _KINDS:
        values = np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _widen_node(node: onnx.NodeProto) -> None:
    for each in node.attribute:
        if each.name in _TYPES and each.i in _KINDS:
            each.i = TensorProto.FLOAT
        for tensor in _tensors(each):
            _widen_tensor(tensor)
    for body in _bodies(node):
        _widen_weights(body, {})
        for value in (*body.input, *body.output, *body.value_info):
            _widen_type(value.type)


def _widen_type(kind: onnx.TypeProto) -> None:
    which = kind.WhichOneof("value")
    if which == "tensor_type" and kind.tensor_type.elem_type in _KINDS:
        kind.tensor_type.elem_type = TensorProto.FLOAT
    elif which in ("sequence_type", "optional_type"):
        _widen_type(getattr(kind, which).elem_type)


def _widen_ends(graph: onnx.GraphProto) -> dict[str, str]:
    """Cast what comes in and goes out as float16; gives what is called by another name inside.

    The types of all that lies between are found anew.
    """
    del graph.value_info[:]
    weights = {tensor.name for tensor in graph.initializer}
    outputs = [value.name for value in graph.output if _is_half(value)]
    inputs = [value.name for value in graph.input if _is_half(value) and value.name not in weights]
    for value in (*graph.input, *graph.output):
        if value.name not in (*inputs, *outputs):
            _widen_type(value.type)
    names = {name: name + _WIDE for name in (*inputs, *outputs)}
    for node in graph.node:
        _rename(node, names)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    nodes = [_cast(name, name + _WIDE, TensorProto.FLOAT) for name in inputs]
    nodes += graph.node
    nodes += [_cast(name + _WIDE, name, TensorProto.FLOAT16) for name in outputs if name not in inputs]
    del graph.node[:]
    graph.node.extend(nodes)
    return names


def _is_half(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT16)


def _cast(given: str, made: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [given], [made], to=kind)


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    for field in (node.input, node.output):
        for place, name in enumerate(field):
            field[place] = names.get(name, name)
    for body in _bodies(node):
        own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        own |= {name for inner in body.node for name in inner.output}
        around = {name: wide for name, wide in names.items() if name not in own}
        for inner in body.node:
            _rename(inner, around)
        for value in body.output:
            value.name = around.get(value.name, value.name)
