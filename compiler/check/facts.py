"""What the graph of a source model says of its inputs, whichever front end read it."""

from __future__ import annotations

from modeldyno.compiler.check.roles import Facts
from modeldyno.compiler.model.source import Source


def facts_of(source: Source) -> Facts:
    """Give what is known of a source's inputs; where its graph can't be read, that is nothing."""
    if source.facts is not None:
        return source.facts()
    if source.model is None:
        return Facts()
    from modeldyno.compiler.frontends.onnx.roles import onnx_facts
    from modeldyno.compiler.model.onnx_graph import OnnxGraph

    try:
        return onnx_facts(OnnxGraph(source.model))
    except (LookupError, ValueError, TypeError):  # a custom operator by a known name, say
        return Facts()
