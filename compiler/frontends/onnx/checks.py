"""What is wrong with an ONNX model before anything is made of it, each in words that say what to do."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import onnx

from modeldyno.base.errors import ModelError
from modeldyno.compiler.model.fixed_shapes import Shapes, show_shape

_LAYOUT_DOMAINS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")


def check_operators(path: Path, model: onnx.ModelProto) -> None:
    """Refuse operators that nobody knows, and opsets that the onnx package does not."""
    newest = onnx.defs.onnx_opset_version()
    local = {(function.domain, function.name) for function in model.functions}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    version = opsets.get("", opsets.get("ai.onnx", newest))
    if version > newest:
        raise ModelError(
            f"{path} uses ONNX opset {version}; the onnx package here knows up to {newest}: "
            "update the onnx package, or export with an older opset"
        )
    _check_layout(path, model)
    unknown: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        if why := _why_unknown(node, local):
            unknown.setdefault(why, []).append(node)
    if unknown:
        named = "; ".join(_named_unknown(why, nodes, opsets) for why, nodes in unknown.items())
        raise ModelError(
            f"{path} uses {named}. ONNX Runtime does not know them either: export the model with standard "
            "operators in their place, or with the operator as a function of the model"
        )


def _check_layout(path: Path, model: onnx.ModelProto) -> None:
    """Refuse what ONNX Runtime saved for one processor, in a layout that only it has."""
    own = [node for node in model.graph.node if node.domain in _LAYOUT_DOMAINS]
    if own:
        raise ModelError(
            f"{path} was saved by ONNX Runtime, optimised for one processor: {own[0].op_type} (node "
            f"{own[0].name or own[0].output[0]!r}) and {len(own) - 1} more are of its internal domain "
            f"{own[0].domain}. Compile the model as it was before; `dyno serve` runs this file in ONNX "
            "Runtime"
        )


def _why_unknown(node: onnx.NodeProto, local: set[tuple[str, str]]) -> str:
    """Say what of a node nobody knows; empty where it is known. `local` are the model's own functions."""
    if (node.domain, node.op_type) in local:
        return ""
    if node.domain in ("", "ai.onnx"):
        if onnx.defs.has(node.op_type):
            return ""
        names = {schema.name for schema in onnx.defs.get_all_schemas()}
        close = get_close_matches(node.op_type, names, n=1)
        meant = f" (it has {close[0]!r})" if close else ""
        return f"operator {node.op_type!r}, which ONNX does not have{meant}"
    if node.domain in ("com.microsoft", "ai.onnx.ml"):
        return ""
    return f"operator {node.op_type!r} of the unknown domain {node.domain!r}"


def _named_unknown(why: str, nodes: list[onnx.NodeProto], opsets: dict[str, int]) -> str:
    first, more = nodes[0], f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    opset = opsets.get(first.domain, "none given")
    where = f"node {first.name or first.output[0]!r}{more}, domain {first.domain or 'ai.onnx'}"
    return f"{why}: {where}, opset {opset}"


def check_outputs(path: Path, model: onnx.ModelProto) -> None:
    """Refuse an output that is listed twice."""
    names = [value.name for value in model.graph.output]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"{path}: output {name!r} is listed {names.count(name)} times; list it once")


def check_nothing_is_empty(path: Path, tensors: list[onnx.ValueInfoProto], given: Shapes) -> None:
    """Refuse an input that holds no numbers, unless such a shape was asked for."""
    for value in tensors:
        dims = value.type.tensor_type.shape.dim
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        if 0 in sizes and value.name not in given:
            example = ",".join(str(size or 1) for size in sizes)
            raise ModelError(
                f"{path}: input {value.name!r} is declared with a dimension of 0 ({show_shape(sizes)}), "
                "which holds no numbers",
                field="shapes",
                hint=f"where it is meant to be open, give its size, e.g. `shapes` '{value.name}={example}'",
            )
