"""Pools whose last window begins behind the image, by `ceil_mode`: ONNX Runtime leaves that window out.

ONNX's inference before opset 22 counts it, and ONNX Runtime asks that inference: shapes that are one too
large then stand in the model, and constants are folded by them. Such pools are written without `ceil_mode`.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper, shape_inference

from modeldyno.compiler.frontends.onnx.weights import without_weights
from modeldyno.compiler.model.onnx_flops import fixed_shape

_POOLS = ("AveragePool", "LpPool", "MaxPool")
_MENDED = 22  # the opset whose inference leaves the window out too
_DOMAINS = ("", "ai.onnx")


def without_late_windows(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model with those pools written anew; the same one where there are none."""
    opset = next((entry.version for entry in model.opset_import if entry.domain in _DOMAINS), _MENDED)
    if opset >= _MENDED:
        return model
    places = [place for place, node in enumerate(model.graph.node) if _is_ceiled(node)]
    changed = model
    for place in places:  # in order: the shapes behind one pool are right once it is settled
        written = _written(changed, place)
        if written is not None:
            if changed is model:
                changed = onnx.ModelProto()
                changed.CopyFrom(model)
            changed.graph.node[place].CopyFrom(written)
    return changed


def _is_ceiled(node: onnx.NodeProto) -> bool:
    if node.op_type not in _POOLS or node.domain not in _DOMAINS:
        return False
    found = _attributes(node)
    return bool(found.get("ceil_mode", 0)) and found.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _written(model: onnx.ModelProto, place: int) -> onnx.NodeProto | None:
    """Give a pool without `ceil_mode`, padded up to its last window; None where that is no other shape."""
    node = model.graph.node[place]
    shape = _shape(model, node.input[0])
    if shape is None:
        return None
    settings, sizes = _attributes(node), shape[2:]
    kernel, ones = settings["kernel_shape"], [1] * len(sizes)
    strides, gaps = (settings.get(name) or ones for name in ("strides", "dilations"))
    pads = list(settings.get("pads") or [0] * 2 * len(sizes))
    before, late = list(pads), False
    for axis, size in enumerate(sizes):
        span, end = (kernel[axis] - 1) * gaps[axis] + 1, len(sizes) + axis
        room = size + pads[axis] + pads[end] - span
        steps = -(-room // strides[axis])
        if steps * strides[axis] >= size + pads[axis]:
            late = True
        else:
            pads[end] += steps * strides[axis] - room
    # What lies beyond the padding is no part of a mean, and the padding may be.
    if not late or (pads != before and settings.get("count_include_pad", 0)):
        return None
    settings = {**settings, "ceil_mode": 0, "pads": pads}
    return helper.make_node(node.op_type, node.input, node.output, node.name, domain=node.domain, **settings)


def _shape(model: onnx.ModelProto, name: str) -> tuple[int, ...] | None:
    try:
        graph = shape_inference.infer_shapes(without_weights(model), data_prop=True).graph
    except shape_inference.InferenceError:
        return None
    values = (*graph.input, *graph.value_info, *graph.output)
    return next((fixed_shape(value.type) for value in values if value.name == name), None)
