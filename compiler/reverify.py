"""The parity check again, of an artifact that is there: `dyno verify`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from modeldyno.base.errors import ConfigError, ParityError
from modeldyno.base.records.record import Record
from modeldyno.compiler.check.judgement import Bounds
from modeldyno.compiler.check.user_inputs import Given, read_inputs
from modeldyno.compiler.check.verify import Checked, check
from modeldyno.compiler.frontends.dispatch import read_source, source_family
from modeldyno.compiler.model.fixed_shapes import Shapes
from modeldyno.compiler.model.source import Source, UserInputs
from modeldyno.compiler.options import DEFAULT_TOLERANCE, WINOGRAD_TOLERANCE
from modeldyno.compiler.ranges.trial import Between, check_between, worst_parity
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.sessions.buckets import BucketedSession


class Verification(Record):
    """What a repeated check found."""

    artifact: str
    model: str
    verdict: Literal["same", "differs", "not decided"]
    difference: str = Field(default="", description="which output differs, on which inputs; empty: none does")
    same_source: bool = Field(description="whether the model is the very one that the artifact was made from")
    parity: ParityReport


def verify_artifact(
    artifact: Path,
    model: Any,
    *,
    inputs: Sequence[Given] = (),
    seed: int = 0,
    tolerance: float | None = None,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
) -> Verification:
    """Compare an artifact's outputs with those of a source model (as `compile_model` takes it).

    `inputs` are records of the user's own, as for `compile_model`. `tolerance` is the largest accepted
    difference relative to max |b|; None takes that of the artifact's own check.

    Raises:
        ArtifactError: it can't be loaded here. ModelError: the model can't be read.
        ConfigError: the model has other inputs or outputs, or `inputs` do not fit it.
    """
    manifest = read_manifest(artifact)
    session = open_session(artifact, threads=1)
    bounds = _bounds(manifest, tolerance)
    read = _Reader(model, example_inputs, example_kwargs, foreign=manifest.needs_onnxruntime)
    if isinstance(session, BucketedSession):
        checked, digest = _of_buckets(session, read, inputs, seed, bounds)
    else:
        source = read.at({spec.name: spec.smallest for spec in manifest.inputs})
        _check_signature(manifest, source)
        source = replace(source, records=read_inputs(inputs, source.inputs))
        checked, digest = check(source, session, seed=seed, bounds=bounds), source.digest
    return Verification(
        artifact=str(artifact),
        model=str(model) if isinstance(model, str | Path) else type(model).__name__,
        verdict=_verdict(checked),
        difference=checked.difference,
        same_source=digest == manifest.source_digest,
        parity=checked.report,
    )


def _verdict(checked: Checked) -> Literal["same", "differs", "not decided"]:
    if checked.difference:
        return "differs"
    return "not decided" if checked.report.undecided else "same"


class _Reader:
    """Reads the source model at the shapes asked for."""

    def __init__(
        self, model: Any, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, *, foreign: bool
    ) -> None:
        self.model, self.args, self.kwargs, self.foreign = model, args, kwargs, foreign

    def at(self, shapes: Shapes) -> Source:
        """Give it at fixed shapes."""
        return read_source(self.model, shapes, self.args, self.kwargs, foreign=self.foreign)


def _bounds(manifest: Manifest, given: float | None) -> Bounds:
    """Give the tolerances asked for; else those of the artifact's own check, or what its kernels call for."""
    if given is None and "tolerance" in manifest.options:
        given = float(manifest.options["tolerance"])
    if given is not None:
        return Bounds(given, given)
    if manifest.parity is not None:
        return Bounds(manifest.parity.tolerance_max_rel)
    winograd = any(kernel.kind == "winograd" for kernel in manifest.kernels)
    return Bounds(WINOGRAD_TOLERANCE if winograd else DEFAULT_TOLERANCE)


def _check_signature(manifest: Manifest, source: Source) -> None:
    """Compare names and types of inputs, and the number of outputs.

    Raises:
        ConfigError: they are others.
    """
    given, wanted = ([(spec.name, spec.dtype) for spec in each.inputs] for each in (source, manifest))
    if given != wanted or len(source.outputs) != len(manifest.outputs):
        shown = ", ".join(f"{name} ({dtype})" for name, dtype in given)
        there = ", ".join(f"{name} ({dtype})" for name, dtype in wanted)
        raise ConfigError(
            f"{source.name} has the inputs {shown} and {len(source.outputs)} outputs, the artifact {there} "
            f"and {len(manifest.outputs)}: it was made from another model"
        )


def _of_buckets(
    session: BucketedSession, read: _Reader, inputs: Sequence[Given], seed: int, bounds: Bounds
) -> tuple[Checked, str]:
    """Check each bucket on all kinds, then requests between them and the user's, to the first difference."""
    family = source_family(read.model, _open_places(session), read.args, read.kwargs, foreign=read.foreign)
    records = read_inputs(inputs, session.inputs)
    reports: list[ParityReport] = []
    digest = ""
    for bucket in session.manifest.buckets.buckets if session.manifest.buckets else ():
        source = family.at(session.axes.shapes(bucket.sizes))
        _check_signature(session.manifest, source)
        digest = source.digest
        checked = check(source, session, seed=seed, bounds=bounds)
        if checked.difference:
            return checked, digest
        reports.append(checked.report)
    return _between(Between(family, session, seed, bounds), records, reports), digest


def _between(between: Between, records: Sequence[UserInputs], reports: Sequence[ParityReport]) -> Checked:
    difference, found = "", []
    try:
        found = check_between(between, records, target="")
    except ParityError as error:
        difference = str(error)
    worst = worst_parity([*reports, *found])
    assert worst is not None  # noqa: S101 - there is a bucket, and each gave a report
    return Checked(worst, difference)


def _open_places(session: BucketedSession) -> set[tuple[str, int]]:
    return {(spec.name, at) for spec in session.inputs for at, size in enumerate(spec.shape) if size is None}
