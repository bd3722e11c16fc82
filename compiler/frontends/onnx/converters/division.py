"""Divisions of the least whole number by -1, which end the process of whoever computes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from modeldyno.compiler.frontends.onnx.reference import reference
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.onnx_graph import OnnxGraph


def why_deadly(graph: OnnxGraph, divisions: Sequence[int], feeds: Mapping[str, Array]) -> str:
    """Say which of the `divisions` (places of nodes) can't be computed on these inputs; empty: all can.

    Only what each reads is computed, in the order of the graph: those before it are known to be harmless.
    """
    for place in divisions:
        node = graph.nodes[place]
        dividend, divisor = _values(graph, list(node.input[:2]), feeds)
        if (divisor == -1).any() and (dividend == np.iinfo(dividend.dtype).min).any():
            where = f"{node.op_type} {node.name or node.output[0]!r}"
            return f"{where} would divide the least {dividend.dtype.name} by -1"
    return ""


def _values(graph: OnnxGraph, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
    """Compute tensors from the inputs, and nothing that they do not need."""
    from onnx import numpy_helper

    known = dict(feeds)
    known |= {
        name: numpy_helper.to_array(weight)
        for name in names
        if (weight := graph.weights.get(name)) is not None
    }
    missing = [name for name in names if name not in known]
    if missing:
        part = graph.cut(_before(graph, missing))
        given = {value.name for value in part.graph.output}
        part.graph.output.extend(graph.value(name) for name in missing if name not in given)
        read = [value.name for value in part.graph.input]
        known |= reference(Path("model"), part)({name: known[name] for name in read})
    return [np.asarray(known[name]) for name in names]


def _before(graph: OnnxGraph, names: Iterable[str]) -> set[int]:
    found: set[int] = set()
    ahead = [graph.maker[name] for name in names if name in graph.maker]
    while ahead:
        place = ahead.pop()
        if place not in found:
            found.add(place)
            ahead += graph.before(place)
    return found
