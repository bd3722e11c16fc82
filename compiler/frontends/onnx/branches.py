"""Branches of If that the fixed shapes rule out: what does not type with them can't be taken, and is dropped.

A model for two sample rates has a branch for each; with the input's shape fixed, one of them can't be
computed, and ONNX Runtime refuses the whole for it. The other branch then stands in the place of the If.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
from onnx import helper, shape_inference

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.onnx.weights import open_session, skeleton, without_weights
from modeldyno.compiler.model.onnx_graph import from_around

_MOST = 100  # branches of branches: each round takes one away


def without_impossible_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each If of which one branch alone fits the inputs' fixed shapes, inside of branches too.

    The given model is changed; its weights are not copied.
    """
    for _ in range(_MOST):
        found = _first(model)
        if found is None:
            break
        _replace(model, *found)
    return model


def _first(model: onnx.ModelProto) -> tuple[int, onnx.GraphProto] | None:
    """Give the place of an If of which just one branch can be taken, and that branch."""
    if not any(node.op_type == "If" for node in model.graph.node):
        return None
    light = without_weights(model)
    known = _types(light)
    for place, node in enumerate(model.graph.node):
        if node.op_type != "If":
            continue
        branches = [_possible(light, attribute.g, known) for attribute in node.attribute]
        possible = [branch for branch in branches if branch is not None]
        if len(possible) == 1:
            return place, possible[0]
        for attribute, branch in zip(node.attribute, branches, strict=True):
            if branch is not None:
                attribute.g.CopyFrom(branch)
    return None


def _types(light: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    try:
        graph = shape_inference.infer_shapes(light, data_prop=True).graph
    except shape_inference.InferenceError:
        graph = light.graph
    return {value.name: value for value in (*graph.value_info, *graph.input)}


def _possible(
    light: onnx.ModelProto, branch: onnx.GraphProto, known: dict[str, onnx.ValueInfoProto]
) -> onnx.GraphProto | None:
    """Give a branch, its own branches looked through; None where ONNX Runtime does not type it.

    Where the tensors around it are not known it may be possible.
    """
    constants = {tensor.name: tensor for tensor in light.graph.initializer}
    around = dict.fromkeys(from_around(branch))
    if any(name not in known and name not in constants for name in around):
        return branch
    alone = skeleton(light)
    for field in ("node", "input", "output", "value_info"):
        del getattr(alone.graph, field)[:]
    alone.graph.node.extend(branch.node)
    alone.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in branch.output)
    alone.graph.initializer.extend(branch.initializer)
    alone.graph.initializer.extend(constants[name] for name in around if name in constants)
    alone.graph.input.extend(known[name] for name in around if name not in constants)
    without_impossible_branches(alone)
    if not _loads(alone):
        return None
    looked_through = onnx.GraphProto(name=branch.name, node=alone.graph.node, output=branch.output)
    looked_through.initializer.extend(t for t in alone.graph.initializer if t.name not in around)
    return looked_through


def _loads(model: onnx.ModelProto) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        open_session(Path("branch"), model, options)
    except ModelError:
        return False
    return True


def _replace(model: onnx.ModelProto, place: int, branch: onnx.GraphProto) -> None:
    """Put the branch's nodes in the place of the If, under names of their own."""
    gone = model.graph.node[place]
    prefix = f"{gone.name or next(iter(gone.output))}/"
    own = [name for node in branch.node for name in node.output if name]
    own += [tensor.name for tensor in branch.initializer]
    names = {name: prefix + name for name in own}
    nodes = [_renamed(node, names) for node in branch.node]
    ends = [names.get(value.name, value.name) for value in branch.output]
    nodes += [
        helper.make_node("Identity", [inner], [outer])
        for inner, outer in zip(ends, gone.output, strict=True)
        if outer
    ]
    for tensor in branch.initializer:
        added = model.graph.initializer.add()
        added.CopyFrom(tensor)
        added.name = names[tensor.name]
    rest = [*model.graph.node[:place], *nodes, *model.graph.node[place + 1 :]]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rest]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    new = onnx.NodeProto()
    new.CopyFrom(node)
    for field in (new.input, new.output):
        for place, name in enumerate(field):
            field[place] = names.get(name, name)
    for attribute in new.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for place, inner in enumerate(graph.node):
                graph.node[place].CopyFrom(_renamed(inner, names))
            for value in graph.output:
                value.name = names.get(value.name, value.name)
    return new
