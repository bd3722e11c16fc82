"""A part of an ONNX model as a source of its own, and the values that flow between parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modeldyno.compiler.frontends.onnx.facts import input_facts
from modeldyno.compiler.frontends.onnx.importer import Simplify, import_onnx
from modeldyno.compiler.frontends.onnx.reference import reference
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.model.source import Source

if TYPE_CHECKING:
    import onnx


def part_source(
    source: Source, graph: OnnxGraph, places: Iterable[int], values: dict[str, Array] | None = None
) -> Source:
    """Give nodes of `graph`, cut from `source`, as a model; parity is checked on `values` of its inputs."""
    part = graph.cut(places)
    inputs = tuple(graph.spec(value.name) for value in part.graph.input)
    shapes = {spec.name: tuple(size for size in spec.shape if size is not None) for spec in inputs}
    return replace(
        source,
        inputs=inputs,
        outputs=tuple(graph.spec(value.name) for value in part.graph.output),
        import_relax=lambda: import_onnx(part, shapes, simplify_of(source)),
        reference=reference(Path(source.name), part),
        model=part,
        facts=input_facts(part),
        records=(),
        feeds=None if values is None else lambda _seed: {spec.name: values[spec.name] for spec in inputs},
    )


def simplify_of(source: Source) -> Simplify:
    """Give what simplifies a part of the source's model."""
    if source.simplify is None:
        raise ValueError(f"{source.name} is no ONNX model")
    return source.simplify


def values_of(
    source: Source, graph: OnnxGraph, names: Iterable[str], feeds: dict[str, Array]
) -> dict[str, Array]:
    """Run the whole model in ONNX Runtime and give the values of the tensors named."""
    made = [name for name in dict.fromkeys(names) if name in graph.maker]
    whole = graph.cut(range(len(graph.nodes)))
    already = {value.name for value in whole.graph.output}
    whole.graph.output.extend(graph.value(name) for name in made if name not in already)
    found = reference(Path(source.name), whole)({name: feeds[name] for name in _inputs(whole)})
    return {**feeds, **{name: found[name] for name in made}}


def _inputs(model: onnx.ModelProto) -> list[str]:
    return [value.name for value in model.graph.input]
