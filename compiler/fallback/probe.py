"""Whether an operator compiles when it is alone: how one that doesn't is found in a model that doesn't."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx

from modeldyno.base.errors import CompileError, DynoError
from modeldyno.compiler.frontends.onnx.part import part_source
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.options import Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.whole import compile_whole

# Weights of more numbers than this are told apart by their shapes alone.
_SHORT = 64
REASON_LIMIT = 200


class Probe:
    """Tries the nodes of a model one by one; of those that are alike, one."""

    def __init__(self, request: CompileRequest, graph: OnnxGraph) -> None:
        self._source, self._target, self._graph = request.source, request.target, graph
        self._options = replace(
            request.options, verify=False, dump_dir=None, tune_s=None, fallback=None, min_compiled=None
        )
        self._known: dict[tuple[str, bytes], str] = {}

    def why_not_imported(self, place: int) -> str:
        """Say why the front end can't read a node; empty where it can."""
        return self._once(
            "import", place, lambda: part_source(self._source, self._graph, [place]).import_relax()
        )

    def why_not_compiled(self, place: int) -> str:
        """Say why a node does not get through all stages; empty where it does."""
        return self._once("compile", place, lambda: self._compile(place, self._options, None))

    def why_not_right(self, place: int, values: dict[str, Array]) -> str:
        """Say why a node's results on `values` are not the source model's; empty where they are."""
        options = replace(self._options, verify=True)
        return _why_not(lambda: self._compile(place, options, values))

    def _once(self, how: str, place: int, work: Callable[[], object]) -> str:
        key = (how, _signature(self._graph, place))
        if key not in self._known:
            why = self._graph.why_foreign(place) or _why_not(work)
            self._known[key] = why.removeprefix(f"{self._graph.nodes[place].op_type}: ")
        return self._known[key]

    def _compile(self, place: int, options: Options, values: dict[str, Array] | None) -> None:
        part = part_source(self._source, self._graph, [place], values)
        with tempfile.TemporaryDirectory(prefix="dyno-probe-") as folder:
            compile_whole(CompileRequest(part, self._target, options), Path(folder) / "artifact")


def _why_not(work: Callable[[], object]) -> str:
    try:
        work()
    except CompileError as error:
        return short_reason(error)
    except DynoError:
        raise  # a full disk, say: nothing that the operator is to blame for
    except Exception as error:  # front ends raise many kinds of errors, and each means "no" here
        return short_reason(error)
    return ""


def short_reason(error: BaseException) -> str:
    """Give what an error says, without what is said around it anyway."""
    cause = error.__cause__ if isinstance(error, CompileError) and error.__cause__ else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = lines[0] if lines else type(cause).__name__
    if isinstance(cause, KeyError | AssertionError | IndexError) or not lines:
        text = f"{type(cause).__name__}: {text}"
    text = text.rstrip(".,;: ")
    stage = error.stage if isinstance(error, CompileError) and error.stage != "import" else ""
    text = f"{stage}: {text}" if stage else text
    return text if len(text) <= REASON_LIMIT else text[:REASON_LIMIT] + " …"


def _signature(graph: OnnxGraph, place: int) -> bytes:
    """What two nodes that compile alike have in common: all but names and the values of large weights."""
    node = onnx.NodeProto()
    node.CopyFrom(graph.nodes[place])
    node.name = node.doc_string = ""
    reads = graph.reads[place]
    for names in (node.input, node.output):
        for number, name in enumerate(names):
            names[number] = f"{reads.index(name)}" if name in reads else str(bool(name))
    parts = [node.SerializeToString(deterministic=True)]
    for name in reads:
        tensor = graph.weights.get(name)
        if tensor is None:
            known = graph.types.get(name)
            parts.append(known.SerializeToString(deterministic=True) if known else b"?")
        elif len(tensor.raw_data) <= _SHORT * 8:
            parts.append(tensor.SerializeToString(deterministic=True).replace(name.encode(), b""))
        else:
            parts.append(repr((tensor.data_type, tuple(tensor.dims))).encode())
    return b"\0".join(parts)
