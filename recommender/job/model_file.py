"""The model that a run is about, looked at before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from modeldyno.base.errors import ConfigError, DynoError, ModelError
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.check.reach import runs_where
from modeldyno.compiler.frontends.dispatch import open_family, read_model
from modeldyno.compiler.model.shapes import (
    Size,
    Span,
    Template,
    fixed_shapes,
    is_open,
    parse_shapes,
    template,
)
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.targets.catalog import resolve_target
from modeldyno.recommender.job.job import Backend, Job

BASELINE: Backend = "onnxruntime"
MOST_REQUEST_SHAPES = 64


@dataclass(frozen=True)
class SourceModel:
    """A model file that was found fit to be measured."""

    path: Path
    digest: str
    requests: tuple[tuple[TensorSpec, ...], ...]
    """The inputs of each shape that is sent, with every size fixed."""
    backends: tuple[Backend, ...]
    """What can run it and was asked for, the uncompiled baseline first."""


def inspect_model(path: Path, job: Job) -> SourceModel:
    """Read the model with the compiler's own front end, so that what is wrong is told before a run starts.

    Raises:
        ModelError: missing, empty, no model, an unknown operator, or a size left open.
        ConfigError: `shape`, `load.shape` or `compile.target` does not fit the model or this machine, or no
            backend that was asked for can run it.
    """
    if path.is_dir():
        raise ModelError(
            f"{path} is a folder: give the source model (.onnx or .pt2); "
            "the run compiles it, and measures it beside the uncompiled baseline"
        )
    try:
        source, requests = _open(path, job) if is_open(job.sizes) else _fixed(path, job)
    except (ConfigError, ModelError) as error:
        raise _in_words_of_the_job(error) from error
    backends = _backends(path, source.frontend, job)
    if "compiled" in backends:
        _check_target(job.compile.target)
    return SourceModel(path, source.digest, requests, backends)


def _fixed(path: Path, job: Job) -> tuple[Source, tuple[tuple[TensorSpec, ...], ...]]:
    source = read_model(path, fixed_shapes(job.sizes), foreign=bool(job.compile.fallback))
    shaped = template({spec.name: spec.shape for spec in source.inputs}, {})
    return source, _requests(source.inputs, shaped, shaped, job)


def _open(path: Path, job: Job) -> tuple[Source, tuple[tuple[TensorSpec, ...], ...]]:
    family = open_family(path, foreign=bool(job.compile.fallback))
    taken = template(family.declared, job.sizes)
    smallest = {axis.name: axis.span.low for axis in taken.axes}
    source = family.at(taken.at([smallest[axis.name] for axis in taken.axes]))
    asked = parse_shapes(job.load.shape)
    sent = template(family.declared, {**job.sizes, **asked}) if asked else taken
    return source, _requests(source.inputs, taken, sent, job)


def _requests(
    inputs: Sequence[TensorSpec], taken: Template, sent: Template, job: Job
) -> tuple[tuple[TensorSpec, ...], ...]:
    """Give the inputs at each shape that is sent: every combination of the sizes that `load.shape` lists."""
    asked = parse_shapes(job.load.shape)
    for name, shape in asked.items():
        _check_sent(name, shape, taken)
    listed = [axis.span.sizes if not axis.span.padded else (axis.span.low,) for axis in sent.axes]
    if not asked:
        listed = [sizes[:1] for sizes in listed]
    combinations = list(product(*listed))
    if len(combinations) > MOST_REQUEST_SHAPES:
        raise ConfigError(
            f"load.shape: {len(combinations)} combinations of sizes; at most {MOST_REQUEST_SHAPES} are sent",
            field="load.shape",
        )
    return tuple(_at(inputs, sent.at(sizes)) for sizes in combinations)


def _at(inputs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
    return tuple(spec.model_copy(update={"shape": shapes[spec.name]}) for spec in inputs)


def _check_sent(name: str, shape: Sequence[Size], taken: Template) -> None:
    """Refuse to send what the compiled candidates do not take."""
    if name not in taken.shapes:
        raise ConfigError(
            f"load.shape: the model has no input {name!r}; its inputs are: {', '.join(taken.shapes)}",
            field="load.shape",
        )
    fixed = taken.shapes[name]
    if len(shape) != len(fixed):
        raise ConfigError(
            f"load.shape: {name} has {len(fixed)} dimensions, not {len(shape)}", field="load.shape"
        )
    for at, (size, one) in enumerate(zip(shape, fixed, strict=True)):
        allowed = one if one is not None else _span(taken, name, at)
        if isinstance(size, Span) and size.padded:
            raise ConfigError(
                f"load.shape: {name}: {size} is a range; list the sizes to send: 1|8", field="load.shape"
            )
        for each in size.sizes if isinstance(size, Span) else (size,):
            if not _holds(allowed, each):
                raise ConfigError(
                    f"load.shape: {name}: {each} is not among the sizes of `shape`, {allowed}",
                    field="load.shape",
                )


def _span(taken: Template, name: str, at: int) -> Span:
    return next(
        axis.span
        for axis in taken.axes
        for place in axis.places
        if (place.tensor, place.dimension) == (name, at)
    )


def _holds(allowed: Size, size: int) -> bool:
    if not isinstance(allowed, Span):
        return size == allowed
    return allowed.low <= size <= allowed.high if allowed.padded else size in allowed.sizes


def _check_target(name: str) -> None:
    """Refuse a target that this machine can't run: every compiled candidate would fail."""
    if name == "host":
        return  # needs no look, and to name it takes TVM
    target = resolve_target(name, host_facts())
    found = runs_where(target, host_facts())
    if found.runs != "yes":
        raise ConfigError(
            f"compile.target {name}: the candidates run on this machine, which can't run that code: "
            f"{found.reason}",
            field="compile.target",
        )


def _backends(path: Path, frontend: str, job: Job) -> tuple[Backend, ...]:
    if frontend == "onnx":
        return tuple(dict.fromkeys((BASELINE, *job.candidates.backends)))
    if "compiled" not in job.candidates.backends:
        raise ConfigError(f"{path.name} can only be compiled: add compiled to candidates.backends")
    return ("compiled",)


def _in_words_of_the_job(error: DynoError) -> DynoError:
    """The front end speaks of the flag of `dyno compile`, which is one of `dyno recommend` too."""
    if error.field != "shapes":
        return error
    return type(error)(
        error.message,
        field=error.field,
        hint="; ".join(
            [*([error.hint] if error.hint else []), "in the job file that is `shape: {NAME: [SIZE, ...]}`"]
        ),
    )
