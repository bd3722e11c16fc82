"""Types and shapes of all tensors of a graph, behind operators of any domain too.

ONNX's own inference stops at what is not ONNX's. ONNX Runtime knows its own operators and asks ONNX for the
others: it is asked for the types of all tensors as outputs of the graph. It does not tell shapes behind the
operators of `ai.onnx.ml` that keep the shape of what they read; those are known here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import onnx
import onnxruntime
from onnx import helper, shape_inference

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.onnx.weights import is_large, open_session, without_weights

_SAME_SHAPE = ("Binarizer", "Imputer", "LabelEncoder", "Normalizer", "Scaler")
_OWN = ("", "ai.onnx")
_ROUNDS = 4  # a shape that was found lets others be found; each round follows one that asked ONNX Runtime
_NAMES = {"float": "FLOAT", "double": "DOUBLE"}


def with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model with the type of each tensor, and its shape where it does not depend on numbers.

    The model's inputs have fixed shapes. The given model is changed where it is large.
    """
    found = _inferred(model)
    for _ in range(_ROUNDS):
        if not _learn(found):
            break
        found = _inferred(found)
    return found


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    if not is_large(model):
        return shape_inference.infer_shapes(model, data_prop=True)
    graph = shape_inference.infer_shapes(without_weights(model), data_prop=True).graph
    for field in ("value_info", "output"):
        del getattr(model.graph, field)[:]
        getattr(model.graph, field).extend(getattr(graph, field))
    return model


def _learn(model: onnx.ModelProto) -> bool:
    """Put what ONNX's inference did not find into the graph; give whether there was anything."""
    graph = model.graph
    known = {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}
    weights = {tensor.name for tensor in graph.initializer}
    names = [
        name
        for node in graph.node
        for name in node.output
        if name and name not in weights and not (name in known and _is_settled(known[name]))
    ]
    if not names or all(node.domain in _OWN and _has_types(node, known) for node in graph.node):
        return False
    told = _asked(model, names)
    for node in graph.node:
        if node.domain == "ai.onnx.ml" and node.op_type in _SAME_SHAPE and node.input[0] in known:
            _copy_shape(known[node.input[0]], told, node.output[0])
    return _put(model, known, told)


def _is_settled(value: onnx.ValueInfoProto) -> bool:
    kind = value.type
    return kind.WhichOneof("value") not in (None, "tensor_type") or (
        bool(kind.tensor_type.elem_type) and kind.tensor_type.HasField("shape")
    )


def _has_types(node: onnx.NodeProto, known: dict[str, onnx.ValueInfoProto]) -> bool:
    return all(name in known and known[name].type.WhichOneof("value") for name in node.output if name)


def _asked(model: onnx.ModelProto, names: list[str]) -> dict[str, onnx.TypeProto]:
    """Ask ONNX Runtime; nothing where it can't load the graph with its weights as inputs."""
    asked = without_weights(model)
    outputs = {value.name for value in asked.graph.output}
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with suppress(ModelError):
        session = open_session(Path(model.graph.name or "model"), asked, options)
        return {value.name: _type(value.type, value.shape) for value in session.get_outputs()}
    return {}


def _type(words: str, shape: list[int | str | None]) -> onnx.TypeProto:
    """Read ONNX Runtime's word for a type, as "seq(map(int64,tensor(float)))"; nothing for any other."""
    found = re.fullmatch(r"(tensor|seq|optional|map)\((.*)\)", words)
    if not found:
        return onnx.TypeProto()
    kind, inner = found.groups()
    if kind in ("tensor", "map") and not _element(inner.partition(",")[0]):
        return onnx.TypeProto()
    if kind == "tensor":
        # A shape of no axes means a number, or that nothing is known of it.
        return helper.make_tensor_type_proto(_element(inner), shape or None)
    if kind == "seq":
        return helper.make_sequence_type_proto(_type(inner, []))
    if kind == "optional":
        return helper.make_optional_type_proto(_type(inner, []))
    key, _, value = inner.partition(",")
    return helper.make_map_type_proto(_element(key), _type(value, []))


def _element(word: str) -> int:
    """Give ONNX's number of an element type; 0 for one that the onnx package does not have."""
    return int(dict(onnx.TensorProto.DataType.items()).get(_NAMES.get(word, word.upper()), 0))


def _copy_shape(source: onnx.ValueInfoProto, told: dict[str, onnx.TypeProto], name: str) -> None:
    kind = told.get(name)
    if kind is not None and kind.HasField("tensor_type") and source.type.tensor_type.HasField("shape"):
        kind.tensor_type.shape.CopyFrom(source.type.tensor_type.shape)


def _put(
    model: onnx.ModelProto, known: dict[str, onnx.ValueInfoProto], told: dict[str, onnx.TypeProto]
) -> bool:
    outputs = {value.name: value for value in model.graph.output}
    changed = False
    for name, kind in told.items():
        if not kind.WhichOneof("value"):
            continue
        value = outputs.get(name) or known.get(name)
        if value is None:
            model.graph.value_info.append(onnx.ValueInfoProto(name=name, type=kind))
            changed = True
        elif not _is_settled(value) and _says_more(kind, value.type):
            value.type.CopyFrom(kind)
            changed = True
    return changed


def _says_more(kind: onnx.TypeProto, than: onnx.TypeProto) -> bool:
    if not than.WhichOneof("value") or not than.tensor_type.elem_type:
        return True
    return kind.tensor_type.HasField("shape") and not than.tensor_type.HasField("shape")
