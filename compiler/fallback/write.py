"""Writing an artifact of segments: folders and .onnx files in the order in which they run, and a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.digests import digest_file
from modeldyno.base.errors import CompileError
from modeldyno.base.files import staged_folder, write_bytes
from modeldyno.base.process.quiet import silent_stderr
from modeldyno.compiler.artifact.manifests import (
    common_facts,
    segments_digest,
    why_unverified,
    write_manifest,
)
from modeldyno.compiler.check.verify import check_request
from modeldyno.compiler.fallback.partition import Part
from modeldyno.compiler.frontends.onnx.weights import is_large, size_bytes
from modeldyno.compiler.model.onnx_flops import Shape
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.options import WINOGRAD_TOLERANCE
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.stages.times import StageTimes, stage_time
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.kernels import TuningFacts
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.origin import Coverage, StageTime
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.records.segments import COMPILED, ONNXRUNTIME, SEGMENTS_NAME, Segment


@dataclass(frozen=True)
class Pieces:
    """A cut graph: its parts in order, with artifacts where they are compiled, and why the rest is not."""

    graph: OnnxGraph
    parts: Sequence[tuple[Part, tuple[Path, Manifest] | None]]
    why: dict[int, str]
    shapes: dict[str, Shape]
    coverage: Coverage


def write_segments(request: CompileRequest, pieces: Pieces, output: Path, *, partition_s: float) -> Manifest:
    """Write the artifact and check its outputs against the source model's.

    Raises:
        ParityError: they differ. OutputError: it can't be written.
        CompileError: a segment for ONNX Runtime is larger than an ONNX file may be.
    """
    with staged_folder(output) as stage:
        segments = [
            _write(stage, number, pieces, part, built, request=request)
            for number, (part, built) in enumerate(pieces.parts)
        ]
        manifest = write_manifest(stage, _manifest(request, pieces, segments, partition_s))
        if not manifest.parity_skipped:
            request.watch.stage("verify")
            times = StageTimes(manifest.stages)
            tolerance = request.options.tolerance_of(winograd=_uses_winograd(pieces))
            with times.step("verify"):
                report = _verify(request, stage, tolerance)
            manifest = manifest.model_copy(update={"parity": report, "stages": tuple(times)})
            manifest = write_manifest(stage, manifest)
    return manifest


def _verify(request: CompileRequest, folder: Path, tolerance: float) -> ParityReport:
    with silent_stderr():
        session = open_session(folder, threads=1)
    return check_request(request, session, tolerance)


def _write(
    stage: Path,
    number: int,
    pieces: Pieces,
    part: Part,
    built: tuple[Path, Manifest] | None,
    *,
    request: CompileRequest,
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
            f"{request.source.name}: the weights of the operators that can't be compiled are "
            f"{size_bytes(model) / (1 << 30):.1f} GiB, and the file of a segment holds less than 2 GiB; "
            "serve the .onnx file itself: `dyno serve` runs it in ONNX Runtime",
            stage="partition",
            target=request.target.name,
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
        not_compiled=tuple(graph.operator(place, pieces.why[place]) for place in part.places),
        digest=digest_file(file),
        bytes=file.stat().st_size,
    )


def _manifest(
    request: CompileRequest, pieces: Pieces, segments: Sequence[Segment], partition_s: float
) -> Manifest:
    made = [built[1] for _, built in pieces.parts if built is not None]
    facts = common_facts(request)
    if not made:
        # Where nothing is compiled, any processor of the architecture will do.
        facts["target"] = facts["target"].model_copy(update={"features": ()})
    return Manifest(
        **facts,
        stages=(stage_time("partition", partition_s), *_stages(pieces)),
        parity_skipped=why_unverified(request),
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
        stage_time(f"{SEGMENTS_NAME}/{number:02d}", sum(stage.seconds for stage in built[1].stages))
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
