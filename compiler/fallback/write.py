"""Writing an artifact of segments: folders and .onnx files in the order in which they run, and a manifest."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.errors import CompileError
from modeldyno.base.files import staged_folder, write_bytes
from modeldyno.base.process.quiet import silent_stderr
from modeldyno.compiler.artifact.manifests import (
    common_facts,
    segments_digest,
    why_unverified,
    write_manifest,
)
from modeldyno.compiler.check.verify import check_parity
from modeldyno.compiler.fallback.blame import operator
from modeldyno.compiler.fallback.partition import Part
from modeldyno.compiler.frontends.onnx.weights import is_large, size_bytes
from modeldyno.compiler.model.onnx_flops import Shape
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.options import WINOGRAD_TOLERANCE, Options
from modeldyno.compiler.stages.base import OnStage
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.runtime.artifact import digest_file
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.kernels import TuningFacts
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.origin import Coverage, StageTime
from modeldyno.runtime.records.segments import COMPILED, ONNXRUNTIME, SEGMENTS_NAME, Segment


@dataclass(frozen=True)
class Pieces:
    """A cut graph: its parts in order, with artifacts where they are compiled, and why the rest is not."""

    graph: OnnxGraph
    parts: Sequence[tuple[Part, tuple[Path, Manifest] | None]]
    why: dict[int, str]
    shapes: dict[str, Shape]
    coverage: Coverage


def write_segments(
    source: Source,
    pieces: Pieces,
    output: Path,
    target: CompileTarget,
    options: Options,
    *,
    partition_s: float,
    on_stage: OnStage | None,
) -> Manifest:
    """Write the artifact and check its outputs against the source model's.

    Raises:
        ParityError: they differ. OutputError: it can't be written.
        CompileError: a segment for ONNX Runtime is larger than an ONNX file may be.
    """
    with staged_folder(output) as stage:
        segments = [
            _write(stage, number, pieces, part, built, source=source, target=target)
            for number, (part, built) in enumerate(pieces.parts)
        ]
        manifest = _manifest(source, pieces, segments, target=target, options=options, spent_s=partition_s)
        manifest = write_manifest(stage, manifest)
        if not manifest.parity_skipped:
            if on_stage:
                on_stage("verify")
            began = time.perf_counter()
            with silent_stderr():
                session = open_session(stage, threads=1)
            tolerance = options.tolerance_of(winograd=_uses_winograd(pieces))
            report = check_parity(
                source,
                session,
                seed=options.seed,
                tolerance=tolerance,
                whole_tolerance=options.whole_tolerance,
                target=target.name,
            )
            took = StageTime(stage="verify", seconds=round(time.perf_counter() - began, 4))
            manifest = manifest.model_copy(update={"parity": report, "stages": (*manifest.stages, took)})
            manifest = write_manifest(stage, manifest)
    return manifest


def _write(
    stage: Path,
    number: int,
    pieces: Pieces,
    part: Part,
    built: tuple[Path, Manifest] | None,
    *,
    source: Source,
    target: CompileTarget,
) -> Segment:
    graph = pieces.graph
    inputs, outputs = graph.boundary(part.places)
    flops = graph.flops(part.places, pieces.shapes)
    path = f"{SEGMENTS_NAME}/{number:02d}"
    if built is not None:
        folder, made = built
        (stage / SEGMENTS_NAME).mkdir(exist_ok=True)
        shutil.move(folder, stage / path)
        return Segment(
            path=path,
            engine=COMPILED,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            operators=len(part.places),
            flops=flops,
            digest=made.manifest_digest,
            content_digest=made.model_digest,
            bytes=made.bytes,
        )
    model = graph.cut(part.places)
    if is_large(model):
        raise CompileError(
            f"{source.name}: the weights of the operators that can't be compiled are "
            f"{size_bytes(model) / (1 << 30):.1f} GiB, and the file of a segment holds less than 2 GiB; "
            "serve the .onnx file itself: `dyno serve` runs it in ONNX Runtime",
            stage="partition",
            target=target.name,
        )
    file = stage / f"{path}.onnx"
    write_bytes(file, model.SerializeToString(deterministic=True))
    return Segment(
        path=f"{path}.onnx",
        engine=ONNXRUNTIME,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        operators=len(part.places),
        flops=flops,
        not_compiled=tuple(operator(graph, place, pieces.why[place]) for place in part.places),
        digest=digest_file(file),
        bytes=file.stat().st_size,
    )


def _manifest(
    source: Source,
    pieces: Pieces,
    segments: Sequence[Segment],
    *,
    target: CompileTarget,
    options: Options,
    spent_s: float,
) -> Manifest:
    made = [built[1] for _, built in pieces.parts if built is not None]
    facts = common_facts(source, target, options)
    if not made:
        # Where nothing is compiled, any processor of the architecture will do.
        facts["target"] = facts["target"].model_copy(update={"features": ()})
    return Manifest(
        **facts,
        stages=(StageTime(stage="partition", seconds=round(spent_s, 4)), *_stages(pieces)),
        parity_skipped=why_unverified(target, options, source),
        coverage=pieces.coverage,
        tuning=_tuning(made),
        rule_failures=tuple(failure for manifest in made for failure in manifest.rule_failures),
        non_finite=tuple(dict.fromkeys(each for manifest in made for each in manifest.non_finite)),
        segments=tuple(segments),
        library_digest=segments_digest(segments),
        library_bytes=0,
    )


def _stages(pieces: Pieces) -> list[StageTime]:
    """One for each compiled segment; its own manifest has the stages."""
    return [
        StageTime(
            stage=f"{SEGMENTS_NAME}/{number:02d}",
            seconds=round(sum(stage.seconds for stage in built[1].stages), 4),
        )
        for number, (_, built) in enumerate(pieces.parts)
        if built is not None
    ]


def _tuning(made: Sequence[Manifest]) -> TuningFacts | None:
    facts = [manifest.tuning for manifest in made if manifest.tuning is not None]
    if not facts:
        return None
    return TuningFacts(
        measured=sum(each.measured for each in facts),
        from_records=sum(each.from_records for each in facts),
        default=sum(each.default for each in facts),
        faster=tuple(kernel for each in facts for kernel in each.faster),
    )


def _uses_winograd(pieces: Pieces) -> bool:
    """Whether a segment was checked with the tolerance of Winograd convolutions."""
    reports = [built[1].parity for _, built in pieces.parts if built is not None]
    return any(report is not None and report.tolerance_max_rel >= WINOGRAD_TOLERANCE for report in reports)
