"""One error for all of a model's operators that can't be compiled: which, where, why, and the ways out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from modeldyno.base.errors import CompileError
from modeldyno.compiler.fallback.probe import Probe
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.request import CompileRequest
from modeldyno.runtime.records.segments import FallbackOperator
from modeldyno.runtime.tools.inspection import operator_words

# Operators are tried for so long; a model of hundreds of different ones could take minutes.
PROBE_S = 60.0
_MOST = 20
_WAYS_OUT = (
    "`fallback=onnxruntime` runs them there as parts of the artifact; or export the model with simpler "
    "operators in their place, or serve the .onnx file itself: `dyno serve` runs it in ONNX Runtime"
)


def explained(request: CompileRequest, error: CompileError) -> CompileError:
    """Give an error that names every operator that does not compile, or at least the ways out."""
    source, target, graph = request.source, request.target, request.graph
    if graph is None:
        return error
    found = culprits(graph, Probe(request, graph), error.stage)
    # Where all fail in a stage behind the front end, no operator is to blame.
    if found and error.stage != "import" and len(found) == len(graph.nodes) > 1:
        return error
    if not found:
        return CompileError(
            f"{error}. Each operator compiles for itself. Ways out: {_WAYS_OUT}",
            stage=error.stage,
            target=error.target,
            operators=error.operators,
        )
    operators = [graph.operator(place, why) for place, why in found.items()]
    named = tuple(dict.fromkeys(each.operator for each in operators))
    count = f"{len(operators)} of {len(graph.nodes)} operators"
    return CompileError(
        f"{source.name}: stage {error.stage!r} failed for target {target.name}: {count} can't be compiled: "
        f"{words(operators)}. Ways out: {_WAYS_OUT}",
        stage=error.stage,
        target=target.name,
        operators=named,
    )


def culprits(graph: OnnxGraph, probe: Probe, stage: str) -> dict[int, str]:
    """Give the nodes that don't get through the stage that failed, each with why."""
    ask: Callable[[int], str] = probe.why_not_imported if stage == "import" else probe.why_not_compiled
    deadline = time.monotonic() + PROBE_S
    found = {}
    for place in range(len(graph.nodes)):
        if time.monotonic() > deadline:
            break
        if why := ask(place):
            found[place] = why
    return found


def words(operators: Iterable[FallbackOperator]) -> str:
    """Word operators in one line: those of one kind that fail alike are named once."""
    kinds: dict[tuple[str, str, str], list[FallbackOperator]] = {}
    for each in operators:
        kinds.setdefault((each.operator, each.domain, each.why), []).append(each)
    told = [operator_words(alike) for alike in kinds.values()]
    left = f"; and {len(told) - _MOST} more kinds" if len(told) > _MOST else ""
    return "; ".join(told[:_MOST]) + left
