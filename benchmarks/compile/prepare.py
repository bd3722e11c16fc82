"""What is done once per model for every number of threads: file, inputs, operations, compiled artifact."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compile.peers import FLOAT32_ARTIFACT
from benchmarks.compile.quantised import QUANTISED
from benchmarks.feeds import model_feeds, save_feeds
from benchmarks.flops import model_flops
from benchmarks.zoo.registry import ZOO
from modeldyno.base.command.console import say
from modeldyno.base.process.procs import python_module, start


@dataclass(frozen=True)
class Prepared:
    """One model, ready to be measured.

    zoo_name: empty for a file of the user's. folder: holds feeds.npz. flops: of one inference, None if they
    can't be counted. failure: why dyno has no artifact; empty when it has.
    """

    name: str
    zoo_name: str
    onnx: Path
    artifact: Path
    folder: Path
    flops: int | None
    compile_s: float | None
    artifact_mb: float | None
    failure: str


def prepared(
    name: str, cache: Path, folder: Path, *, tune_s: float | None, winograd: bool, target: str = "host"
) -> Prepared:
    """Build or find the ONNX file of a zoo model (or take a file), compile it once, make the inputs.

    What stood in `folder`, from the model before, is removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = _zoo_file(name, cache, folder) if name in (*ZOO, *QUANTISED) else Path(name)
    save_feeds(folder / "feeds.npz", model_feeds(path))
    say(f"{name}: compiling")
    artifact = folder / "artifact"
    options = json.dumps({"tune_s": tune_s, "winograd": winograd})
    answer = _compiled(path, artifact, options, target)
    if name in QUANTISED:
        origin = _zoo_file(QUANTISED[name], cache, folder)
        say(f"{origin.stem}: compiling")
        error = _compiled(origin, artifact.with_name(FLOAT32_ARTIFACT), options, target).get("error")
        if error:
            say(f"{origin.stem} can't be compiled: {error}")
    return Prepared(
        name=path.stem,
        zoo_name=name if name in ZOO else "",
        onnx=path,
        artifact=artifact,
        folder=folder,
        flops=_flops(path),
        compile_s=_rounded(answer.get("compile_s")),
        artifact_mb=_rounded(answer.get("artifact_mb")),
        failure=answer.get("error", ""),
    )


def _compiled(model: Path, artifact: Path, options: str, target: str) -> dict[str, Any]:
    folder = artifact.parent
    paths = (str(model), str(artifact), str(folder / "answer.json"))
    return _child(folder, "compile.dyno_artifact", *paths, options, target)


def measured_peak(folder: Path, target: str = "host") -> float | None:
    """Peak multiply-add rate of one core in GFLOP/s, or None where it can't be measured."""
    answer = _child(folder, "peak", str(folder / "answer.json"), target)
    if "error" in answer:
        say(f"the peak of a core can't be measured: {answer['error']}")
    peak: float | None = answer.get("peak_gflops")
    return peak


def _zoo_file(name: str, cache: Path, folder: Path) -> Path:
    """Build the file in a process of its own, so that torch's memory and threads do not stay."""
    path = cache / f"{name}.onnx"
    if not path.exists():
        say(f"{name}: building {path}")
        module = "benchmarks.compile.quantised" if name in QUANTISED else "benchmarks.zoo.registry"
        with start(python_module(module, "--cache", str(cache), name), log=folder / "zoo.log") as child:
            if child.process.wait():
                raise SystemExit(f"{name} can't be built:\n{child.log_tail()}")
    return path


def _child(folder: Path, module: str, *args: str) -> dict[str, Any]:
    """Run a module of this package that writes its answer to folder/answer.json."""
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    with start(python_module(f"benchmarks.{module}", *args), log=folder / f"{module}.log") as child:
        code = child.process.wait()
        if not answer.exists():
            last = child.log_tail(1)
            return {"error": f"benchmarks.{module} ended with code {code}: {last}"}
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def _flops(path: Path) -> int | None:
    try:
        return model_flops(path)
    except ValueError as error:
        say(f"{path}: operations not counted: {error}")
        return None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
