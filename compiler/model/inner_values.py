"""Values of tensors inside of a source model, as its reference computes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.model.source import Source

if TYPE_CHECKING:
    import onnx


def values_of(
    source: Source, graph: OnnxGraph, names: Iterable[str], feeds: dict[str, Array]
) -> dict[str, Array]:
    """Run the whole ONNX model and give the values of the tensors named."""
    made = [name for name in dict.fromkeys(names) if name in graph.maker]
    whole = graph.cut(range(len(graph.nodes)))
    already = {value.name for value in whole.graph.output}
    whole.graph.output.extend(graph.value(name) for name in made if name not in already)
    if source.reference_of is None:
        raise ValueError(f"{source.name} is no ONNX model")
    found = source.reference_of(whole)({name: feeds[name] for name in _inputs(whole)})
    return {**feeds, **{name: found[name] for name in made}}


def _inputs(model: onnx.ModelProto) -> list[str]:
    return [value.name for value in model.graph.input]
