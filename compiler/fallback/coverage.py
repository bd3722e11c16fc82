"""The share of a model that is compiled, by operators and by FLOPs, and the gate on it."""

from __future__ import annotations

from collections.abc import Iterable

from modeldyno.base.errors import CoverageError
from modeldyno.compiler.fallback.partition import Part
from modeldyno.compiler.model.onnx_flops import Shape
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.request import CompileRequest
from modeldyno.runtime.records.origin import Coverage


def coverage(graph: OnnxGraph, parts: Iterable[Part], shapes: dict[str, Shape]) -> Coverage:
    """Count what is compiled. `shapes` are those that only a run of the model told."""
    places = range(len(graph.nodes))
    parts = list(parts)
    compiled = [place for part in parts if part.compiled for place in part.places]
    rest = [place for part in parts if not part.compiled for place in part.places]
    flops, done = graph.flops(places, shapes), graph.flops(compiled, shapes)
    return Coverage(
        operators_share=_share(len(compiled), len(places)),
        flops_share=1.0 if not rest else _flops_share(flops, done) if compiled else 0.0,
        fallback=tuple(graph.names(sorted(rest))),
        operators=len(places),
        flops=flops,
    )


def _flops_share(flops: int | None, compiled: int | None) -> float | None:
    return None if flops is None or compiled is None else _share(compiled, flops)


def _percent(share: float) -> str:
    return f"{100 * share:.5g} %"  # digits enough to tell a share from the one that was asked for


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def check_least(request: CompileRequest, found: Coverage) -> None:
    """Hold what is compiled against what was asked for.

    Raises:
        CoverageError: it is less, or can't be counted.
    """
    name, target, least = request.source.name, request.target, request.options.min_compiled
    if least is None or (found.flops_share is not None and found.flops_share >= least):
        return
    share = (
        "the share of its FLOPs that is compiled can't be counted, since shapes are not known"
        if found.flops_share is None
        else f"{_percent(found.flops_share)} of its FLOPs are compiled"
    )
    raise CoverageError(
        f"{name}: {share} for {target.name}, and `min_compiled` asks for {_percent(least)}; in ONNX Runtime "
        f"would run: {', '.join(found.fallback)}. The artifact is not kept",
        stage="partition",
        target=target.name,
        operators=found.fallback,
        field="min_compiled",
    )
