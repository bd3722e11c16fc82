"""A part of an ONNX model as a source of its own, and the values that flow between parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from modeldyno.compiler.frontends.onnx.facts import input_facts
from modeldyno.compiler.frontends.onnx.importer import Simplify, import_onnx
from modeldyno.compiler.frontends.onnx.reference import reference
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.model.source import Source


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
        given=None,
        feeds=None if values is None else lambda _seed: {spec.name: values[spec.name] for spec in inputs},
    )


def simplify_of(source: Source) -> Simplify:
    """Give what simplifies a part of the source's model."""
    if source.simplify is None:
        raise ValueError(f"{source.name} is no ONNX model")
    return source.simplify
