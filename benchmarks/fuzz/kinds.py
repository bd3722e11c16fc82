"""One random model of a kind: drawn, compiled, run, compared. A seed says which kind."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.fuzz.compare import Differences, Judge, ancestry, tensors_before
from benchmarks.fuzz.draw import NON_FINITE, OPEN_SIZES, draw, draw_foreign, draw_open, feeds, spiced
from benchmarks.fuzz.graph import Array, Graph, Reject, session_of
from benchmarks.fuzz.modules import draw_module
from benchmarks.fuzz.referee import in_double
from modeldyno.base.errors import DynoError
from modeldyno.compiler import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import Manifest

Row = dict[str, Any]
KINDS = NON_FINITE + 1  # kinds of inputs
# Which kind of model a seed is, by its last digit: seven of ten are graphs of fixed shapes.
_BY_DIGIT = {7: "torch", 8: "range", 9: "fallback"}


def kind_of(seed: int) -> str:
    """Kind of the model that a seed gives: graph, torch, range or fallback."""
    return _BY_DIGIT.get(seed % 10, "graph")


def run_seed(seed: int, keep: Path | None = None) -> Row:
    """Draw, compile and compare the model of a seed; what it came to is the row's `verdict`."""
    kind = kind_of(seed)
    row: Row = {"seed": seed, "kind": kind}
    with tempfile.TemporaryDirectory(prefix="dyno-fuzz-") as folder, np.errstate(all="ignore"):
        try:
            return {**row, **_RUNS[kind](seed, Path(folder), keep)}
        except Reject:
            return {**row, "verdict": "ok", "notes": ["no model of this kind was drawn"]}


def _compiled(work: Callable[[], Any]) -> Row:
    """Compile; a refusal in words is a verdict, and any other error a fault."""
    began = time.perf_counter()
    try:
        work()
    except DynoError as error:
        return {"verdict": "refused", "error": type(error).__name__, "message": str(error)[:600]}
    except Exception as error:  # whatever it is: an error that no user can act on
        said = f"{type(error).__name__}: {error}"[:600]
        return {"verdict": "TRACEBACK", "message": said, "trace": traceback.format_exc()[-1500:]}
    return {"seconds": round(time.perf_counter() - began, 2)}


def _graph(seed: int, folder: Path, keep: Path | None) -> Row:
    graph, model = draw(seed)
    return _compare_onnx(graph, _saved(model, folder, keep, seed), Options(), {}, (0,))


def _range(seed: int, folder: Path, keep: Path | None) -> Row:
    graph, model = draw_open(seed)
    first = graph.v[graph.inputs[0]].shape[1:]
    sizes: Mapping[str, Any] = {graph.inputs[0]: (f"1..{max(OPEN_SIZES)}", *first)}
    return _compare_onnx(graph, _saved(model, folder, keep, seed), Options(), sizes, OPEN_SIZES)


def _fallback(seed: int, folder: Path, keep: Path | None) -> Row:
    graph, model = draw_foreign(seed)
    options = Options(fallback="onnxruntime")
    return _compare_onnx(graph, _saved(model, folder, keep, seed), options, {}, (0,))


def _saved(model: onnx.ModelProto, folder: Path, keep: Path | None, seed: int) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        onnx.save(model, keep / f"fuzz{seed}.onnx")
    return path


def _compare_onnx(
    graph: Graph, path: Path, options: Options, shapes: Mapping[str, Any], sizes: tuple[int, ...]
) -> Row:
    made: list[Manifest] = []
    output = path.parent / "artifact"
    work = lambda: made.append(compile_model(path, output, shapes=dict(shapes), options=options))  # noqa: E731
    row = {"operators": [node.op_type for node in graph.nodes], **_compiled(work)}
    if not made:
        return row
    model = onnx.load(path)
    source, session = session_of(model), open_session(output, threads=1)
    names = [value.name for value in source.get_outputs()]
    judge = Judge(
        source=lambda given: dict(zip(names, source.run(None, given), strict=True)),
        ours=session.run,
        jumpy=frozenset(graph.loose),
        named=frozenset(each.operator for each in made[0].non_finite),
        behind=ancestry(model.graph.node),
        inner=lambda given: _every_tensor(model, given),
        before=tensors_before(model.graph.node),
        referee=lambda given: in_double(model, given),
    )
    found = Differences()
    for size in sizes:
        for kind in range(KINDS):
            judge.compare(kind, feeds(graph, kind, size), found)
    return {**row, **found.as_row()}


def _every_tensor(model: onnx.ModelProto, given: dict[str, Array]) -> dict[str, Array]:
    """Give what every node of a model gives."""
    names = [name for node in model.graph.node for name in node.output if name]
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return dict(zip(names, session_of(whole).run(names, given), strict=True))


def _torch(seed: int, folder: Path, _keep: Path | None) -> Row:
    import torch

    module, example = draw_module(seed)
    made: list[Manifest] = []
    work = lambda: made.append(compile_model(module, folder / "artifact", example_inputs=[example]))  # noqa: E731
    row = {"operators": [type(each).__name__ for each in module.modules()], **_compiled(work)}
    if not made:
        return row
    session = open_session(folder / "artifact", threads=1)
    (name,), outputs = [spec.name for spec in session.inputs], [spec.name for spec in session.outputs]

    def source(given: dict[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            answer = module(torch.from_numpy(given[name].copy()))
        return dict(zip(outputs, [answer.numpy()], strict=True))

    everything = frozenset(each.operator for each in made[0].non_finite)
    judge = Judge(source=source, ours=session.run, named=everything, behind=lambda _name: everything)
    found, r = Differences(), np.random.default_rng(seed)
    for kind in range(KINDS):
        given = r.standard_normal(tuple(example.shape)).astype(np.float32)
        judge.compare(kind, {name: spiced(r, given, kind)}, found)
    return {**row, **found.as_row()}


_RUNS: dict[str, Callable[[int, Path, Path | None], Row]] = {
    "graph": _graph,
    "torch": _torch,
    "range": _range,
    "fallback": _fallback,
}
