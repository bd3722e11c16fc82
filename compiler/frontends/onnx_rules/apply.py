"""Taking a model's operators apart: by the rules here, then by the definitions that ONNX itself gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper, shape_inference

from compiler.frontends.onnx_rules import attention, norms, recurrent
from compiler.frontends.onnx_rules.graph import Facts, Rule, Writer

RULES: dict[str, Rule] = {
    "Attention": attention.attention,
    "RotaryEmbedding": attention.rotary,
    "RNN": recurrent.rnn,
    "GRU": recurrent.gru,
    "LSTM": recurrent.lstm,
    "LayerNormalization": norms.layer_norm,
    "RMSNormalization": norms.rms_norm,
    "GroupNormalization": norms.group_norm,
}
# Those that the front end would read wrongly, without a word: taken apart at once.
MISREAD: dict[str, Callable[[onnx.NodeProto], bool]] = {
    "LayerNormalization": lambda node: len([name for name in node.output if name]) > 1,
}
# Operators that the front end reads well although ONNX defines them by others.
KEPT = (
    *("BatchNormalization", "Bernoulli", "Clip", "Gelu", "GlobalLpPool", "HardSigmoid", "HardSwish"),
    *("LeakyRelu", "LessOrEqual", "GreaterOrEqual", "LogSoftmax", "Mish", "PRelu", "Relu", "Selu", "Softmax"),
    *("Softplus", "Softsign", "Elu"),
)
# The earliest opset that the rules write for; older models are brought to NEWER first.
_OLDEST, _NEWER = 13, 18
_DOMAINS = ("", "ai.onnx")


def correct(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take apart only the operators that the front end would read wrongly."""
    found = [n for n in model.graph.node if n.op_type in MISREAD and MISREAD[n.op_type](n)]
    if not found or _opset(model) < _OLDEST:
        return model
    return _with_rules(model, {name: RULES[name] for name in MISREAD}, MISREAD)


def take_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take apart all that can be: own rules first, then functions and ONNX's definitions.

    The model's inputs have fixed shapes. What neither knows stays as it is.
    """
    if _opset(model) < _OLDEST:
        model = onnx.version_converter.convert_version(model, _NEWER)
    ruled = _with_rules(model, RULES)
    kept = [("", name) for name in (*KEPT, *RULES)]
    typed = shape_inference.infer_shapes(ruled, data_prop=True)
    inlined: onnx.ModelProto = inliner.inline_selected_functions(
        typed, kept, exclude=True, inline_schema_functions=True
    )
    return _with_rules(inlined, RULES)


def _with_rules(
    model: onnx.ModelProto,
    rules: dict[str, Rule],
    only: dict[str, Callable[[onnx.NodeProto], bool]] | None = None,
) -> onnx.ModelProto:
    if not any(node.op_type in rules for node in model.graph.node):
        return model
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.node[:]
    facts = _facts(model)
    for number, node in enumerate(model.graph.node):
        rule = rules.get(node.op_type) if node.domain in _DOMAINS else None
        if rule is None or (only and not only[node.op_type](node)):
            out.graph.node.append(node)
            continue
        writer = Writer(node, facts, f"{node.op_type}_{number}_", _opset(model))
        out.graph.node.extend(_written(rule, writer) or [node])
    return out


def _written(rule: Rule, writer: Writer) -> list[onnx.NodeProto] | None:
    """Give the nodes that stand for one; None where the rule doesn't know it or a shape isn't known."""
    try:
        names = rule(writer)
    except KeyError:
        return None
    if names is None or len(names) < len(writer.node.output):
        return None
    ends = zip(names, writer.node.output, strict=False)
    return [*writer.nodes, *(helper.make_node("Identity", [ours], [name]) for ours, name in ends if name)]


def _facts(model: onnx.ModelProto) -> Facts:
    facts = Facts()
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type:
            facts.dtypes[value.name] = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            facts.shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            facts.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for initializer in graph.initializer:
        facts.constants[initializer.name] = numpy_helper.to_array(initializer)
    for name, array in facts.constants.items():
        facts.dtypes[name], facts.shapes[name] = array.dtype, array.shape
    return facts


def _opset(model: onnx.ModelProto) -> int:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    return versions.get("", versions.get("ai.onnx", 1))
