"""What the graph of a source model says of an output: which operator gives it, what overflows before it."""

from __future__ import annotations

import numpy as np

from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.source import Source


def maker_words(source: Source, output: str) -> str:
    """Name the operator that gives an output, in a sentence of its own; nothing where it is not known."""
    if source.model is None and source.maker is not None and (said := source.maker(output)):
        return f". It comes from {said}"
    for node in source.model.graph.node if source.model is not None else ():
        if output in node.output:
            return f". It comes from {node.op_type} (node {node.name or output!r})"
    return ""


def overflows_inside(source: Source, feeds: dict[str, Array], output: str) -> bool:
    """Whether a tensor that an output of an ONNX model hangs on holds NaN or infinities on these inputs.

    Nothing behind it is a measure then. Inputs that are not finite themselves (a mask of -inf) excuse
    nothing. A model of which that can't be seen (of torch, say) is taken not to overflow.
    """
    if source.model is None or any(_is_not_finite(values) for values in feeds.values()):
        return False
    from modeldyno.compiler.model.inner_values import values_of
    from modeldyno.compiler.model.onnx_graph import OnnxGraph

    graph = OnnxGraph(source.model)
    names = _before(graph.maker, graph.reads, output)
    try:
        found = values_of(source, graph, names, feeds)
    except Exception:  # whatever ONNX Runtime raises of a graph with all its tensors as outputs
        return False
    return any(_is_not_finite(np.asarray(found[name])) for name in names if name in found)


def _before(maker: dict[str, int], reads: list[tuple[str, ...]], output: str) -> list[str]:
    """Names of the tensors that an output hangs on."""
    found: dict[str, None] = {}
    ahead = [output]
    while ahead:
        name = ahead.pop()
        if name in maker and name not in found:
            found[name] = None
            ahead += reads[maker[name]]
    return list(found)


def _is_not_finite(values: Array) -> bool:
    return values.dtype.kind == "f" and not np.isfinite(values).all()
