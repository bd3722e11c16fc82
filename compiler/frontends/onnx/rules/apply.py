"""Taking a model's operators apart: by the rules here, then by the definitions that ONNX itself gives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, shape_inference

from modeldyno.compiler.frontends.onnx.rules import (
    arithmetic,
    attention,
    fourier,
    norms,
    places,
    pools,
    recurrent,
    reductions,
    resize,
    slices,
)
from modeldyno.compiler.frontends.onnx.rules.graph import Facts, Rule, Writer
from modeldyno.compiler.frontends.onnx.weights import without_weights

_REDUCTIONS = (
    *("ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceLogSumExp", "ReduceLogSum"),
    *("ReduceSumSquare", "ReduceL1", "ReduceL2"),
)
RULES: dict[str, Rule] = {
    "Attention": attention.attention,
    "RotaryEmbedding": attention.rotary,
    "RNN": recurrent.rnn,
    "GRU": recurrent.gru,
    "LSTM": recurrent.lstm,
    "LayerNormalization": norms.layer_norm,
    "RMSNormalization": norms.rms_norm,
    "GroupNormalization": norms.group_norm,
    "BatchNormalization": arithmetic.batch_norm,
    "AveragePool": pools.cut_before,
    "Col2Im": places.col2im,
    "Conv": pools.cut_before,
    "ConvTranspose": places.sized_conv_transpose,
    "CumProd": arithmetic.cumulative_product,
    "DFT": fourier.dft,
    "Dropout": arithmetic.dropout,
    "EyeLike": arithmetic.eye_like,
    "Equal": arithmetic.equal_truth,
    "IsInf": arithmetic.is_infinite,
    "LpNormalization": arithmetic.lp_norm,
    "LpPool": pools.lp_pool,
    "MaxPool": pools.max_pool,
    "OneHot": places.one_hot,
    "Pad": places.wrap_pad,
    "Pow": arithmetic.power,
    "QLinearMatMul": arithmetic.quantized_matmul,
    **dict.fromkeys(_REDUCTIONS, reductions.reduction),
    "Resize": resize.resize,
    "RoiAlign": pools.roi_align,
    "Sign": arithmetic.sign,
    "Slice": slices.plain_slice,
    "Split": arithmetic.split,
    "TensorScatter": places.tensor_scatter,
    "TopK": arithmetic.top_k,
    "Upsample": resize.upsample,
}
# Those that the front end would read wrongly, without a word: taken apart at once.
MISREAD: dict[str, Callable[[Writer], bool]] = {
    "AveragePool": pools.passes_over,
    "BatchNormalization": lambda w: bool(w.attribute("training_mode", 0)),
    "Conv": pools.passes_over,
    "ConvTranspose": lambda w: w.attribute("output_shape", None) is not None,
    "Dropout": lambda w: w.wants(1),
    "Equal": lambda w: w.dtype(w.input(0)) == np.bool_,
    "IsInf": lambda w: not (w.attribute("detect_positive", 1) and w.attribute("detect_negative", 1)),
    "LayerNormalization": lambda w: w.wants(1) or w.wants(2),
    "LpPool": lambda w: bool(w.attribute("ceil_mode", 0)) or pools.passes_over(w),
    "MaxPool": pools.max_pool_misread,
    "OneHot": lambda _: True,
    "Pad": lambda w: w.attribute("mode", "constant") == "wrap",
    "Pow": lambda w: w.dtype(w.input(0)).kind != "f" or w.dtype(w.input(0)) != w.dtype(w.input(1)),
    "RMSNormalization": lambda w: int(w.attribute("axis", -1)) not in (-1, len(w.shape(w.input(0))) - 1),
    **dict.fromkeys(_REDUCTIONS, reductions.misread),
    "Resize": resize.misread,
    "RoiAlign": pools.roi_align_misread,
    "Slice": slices.slice_misread,
    "Sign": lambda w: w.dtype(w.input(0)).kind == "u",
    "Split": arithmetic.has_empty_part,
    "TopK": lambda w: w.dtype(w.input(0)) not in arithmetic.SORTED,
    "Upsample": lambda _: True,
}
# Operators that the front end reads well although ONNX defines them by others: some definitions overflow
# where the operator does not.
KEPT = (
    *("BatchNormalization", "Bernoulli", "Clip", "Gelu", "GlobalLpPool", "HardSigmoid", "HardSwish"),
    *("LeakyRelu", "LessOrEqual", "GreaterOrEqual", "LogSoftmax", "Mish", "PRelu", "Relu", "Selu", "Softmax"),
    *("Softplus", "Softsign", "Elu", "Celu", "ReduceLogSumExp", "ThresholdedRelu"),
)
# The earliest opset that the rules write for; older models are brought to NEWER first.
_OLDEST, _NEWER = 13, 18
_DOMAINS = ("", "ai.onnx")


def correct(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take apart only the operators that the front end would read wrongly."""
    return _with_rules(model, {name: RULES[name] for name in MISREAD}, MISREAD)


def take_apart(model: onnx.ModelProto, kept: frozenset[str] = frozenset()) -> onnx.ModelProto:
    """Take apart all that can be but the operators `kept`: own rules first, then functions and definitions.

    The model's inputs have fixed shapes. What neither knows stays as it is.
    """
    if 1 < _opset(model) < _OLDEST:
        model = correct(model)  # first: what is misread often changed its meaning between opsets
        model = onnx.version_converter.convert_version(model, _NEWER)
    rules = {name: rule for name, rule in RULES.items() if name not in kept}
    return _inlined(_with_rules(model, rules), kept)


def _inlined(model: onnx.ModelProto, kept: frozenset[str]) -> onnx.ModelProto:
    """Inline functions and ONNX's definitions, one kind at a time: some can't be, for want of a type."""
    kinds = dict.fromkeys((node.domain, node.op_type) for node in model.graph.node)
    for domain, kind in kinds:
        if _stays(model, domain, kind, kept) or not _has_body(model, domain, kind):
            continue
        with suppress(Exception):  # an assertion of the inliner's; the operator stays as it is then
            model = inliner.inline_selected_functions(
                _typed(model), [(domain, kind)], exclude=False, inline_schema_functions=True
            )
    return model


def _stays(model: onnx.ModelProto, domain: str, kind: str, kept: frozenset[str]) -> bool:
    """Whether an operator is read better as it is; a function of the model's own never is."""
    own = any((function.domain, function.name) == (domain, kind) for function in model.functions)
    return not own and domain in _DOMAINS and (kind in KEPT or kind in kept)


def _has_body(model: onnx.ModelProto, domain: str, kind: str) -> bool:
    if any((function.domain, function.name) == (domain, kind) for function in model.functions):
        return True
    versions = {entry.domain: entry.version for entry in model.opset_import}
    try:
        schema = onnx.defs.get_schema(kind, versions.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the types of all values, those of constants too: the inliner asks for them."""
    typed = shape_inference.infer_shapes(model, data_prop=True)
    known = {value.name for value in (*typed.graph.value_info, *typed.graph.input)}
    typed.graph.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in typed.graph.initializer
        if tensor.name not in known
    )
    return typed


def _with_rules(
    model: onnx.ModelProto,
    rules: dict[str, Rule],
    only: dict[str, Callable[[Writer], bool]] | None = None,
) -> onnx.ModelProto:
    if not any(node.op_type in rules for node in model.graph.node):
        return model
    facts = _facts(model)
    found: list[list[onnx.NodeProto] | None] = []
    for number, node in enumerate(model.graph.node):
        rule = rules.get(node.op_type) if node.domain in _DOMAINS else None
        writer = Writer(node, facts, f"{node.op_type}_{node.output[0]}_{number}_", _opset(model))
        found.append(_written(rule, writer, only) if rule else None)
    if not any(found):  # the usual case, in which the weights need no copy
        return model
    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.node[:]
    for node, written in zip(model.graph.node, found, strict=True):
        out.graph.node.extend(written or [node])
    return out


def _written(
    rule: Rule, writer: Writer, only: dict[str, Callable[[Writer], bool]] | None
) -> list[onnx.NodeProto] | None:
    """Give the nodes that stand for one; None where the rule doesn't know it or a shape isn't known."""
    try:
        if only is not None and not only[writer.node.op_type](writer):
            return None
        names = rule(writer)
    except KeyError:
        return None
    if names is None or len(names) < len(writer.node.output):
        return None
    ends = zip(names, writer.node.output, strict=False)
    return [*writer.nodes, *(helper.make_node("Identity", [ours], [name]) for ours, name in ends if name)]


def _facts(model: onnx.ModelProto) -> Facts:
    facts = Facts()
    graph = shape_inference.infer_shapes(without_weights(model), data_prop=True).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type:
            facts.dtypes[value.name] = _dtype(tensor.elem_type)
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            facts.shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            facts.constants[node.output[0]] = node.attribute[0].t
    facts.constants.update((tensor.name, tensor) for tensor in model.graph.initializer)
    for name, constant in facts.constants.items():
        facts.dtypes[name], facts.shapes[name] = _dtype(constant.data_type), tuple(constant.dims)
    return facts


def _dtype(elem_type: int) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(elem_type))


def _opset(model: onnx.ModelProto) -> int:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    return versions.get("", versions.get("ai.onnx", 1))
