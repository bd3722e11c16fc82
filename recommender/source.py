"""The model that a run is about, looked at before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compiler.frontends.dispatch import read_model
from dyno.errors import ConfigError, DynoError, ModelError
from dyno.records import TensorSpec
from recommender.job import Backend, Job

BASELINE: Backend = "onnxruntime"


@dataclass(frozen=True)
class SourceModel:
    """A model file that was found fit to be measured."""

    path: Path
    digest: str
    inputs: tuple[TensorSpec, ...]
    """With every size fixed."""
    backends: tuple[Backend, ...]
    """What can run it and was asked for, the uncompiled baseline first."""


def inspect_model(path: Path, job: Job) -> SourceModel:
    """Read the model with the compiler's own front end, so that what is wrong is told before a run starts.

    Raises:
        ModelError: missing, empty, no model, an unknown operator, or a size left open.
        ConfigError: `compile.shapes` does not fit the model, or no backend that was asked for can run it.
    """
    if path.is_dir():
        raise ModelError(
            f"{path} is a folder: give the source model (.onnx or .pt2); "
            "the run compiles it, and measures it beside the uncompiled baseline"
        )
    try:
        source = read_model(path, job.compile.shapes)
    except (ConfigError, ModelError) as error:
        raise _in_words_of_the_job(error) from error
    return SourceModel(path, source.digest, source.inputs, _backends(path, source.frontend, job))


def _backends(path: Path, frontend: str, job: Job) -> tuple[Backend, ...]:
    if frontend == "onnx":
        return tuple(dict.fromkeys((BASELINE, *job.candidates.backends)))
    if "compiled" not in job.candidates.backends:
        raise ConfigError(f"{path.name} can only be compiled: add compiled to candidates.backends")
    return ("compiled",)


def _in_words_of_the_job(error: DynoError) -> DynoError:
    """The front end speaks of the flag of `dyno compile`."""
    if "--shape" not in str(error):
        return error
    return type(error)(f"{error}; in the job file that is `compile: {{shapes: {{NAME: [SIZE, ...]}}}}`")
