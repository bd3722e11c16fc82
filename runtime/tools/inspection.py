"""What an artifact is and whether it can run here: read, checked, and none of its code loaded."""

from __future__ import annotations

from pathlib import Path

from modeldyno.base.errors import ArtifactError
from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import HostFacts, Record, TensorSpec
from modeldyno.base.units import BYTES_PER_MIB, percent, short_duration
from modeldyno.runtime.artifact import check_host
from modeldyno.runtime.buckets_text import bucket_rows, columns, sentences, shares_differ
from modeldyno.runtime.gpu import check_gpu
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.origin import Road
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.records.segments import FallbackOperator
from modeldyno.runtime.tools.parity_text import allowed_words, given_lines, sample_lines
from modeldyno.runtime.tools.parts import check_files


class Inspection(Record):
    """A manifest, and what this machine says of the files beside it."""

    artifact: str
    manifest: Manifest
    size_bytes: int = Field(description="library and weights")
    damage: str | None = Field(description="why a file is not the one that the manifest names; None: all are")
    unfit: str | None = Field(description="why this machine can't run it; None: it can")


def inspect_artifact(folder: Path, host: HostFacts) -> Inspection:
    """Read an artifact, compare every digest and compare its needs with `host`.

    Raises:
        ArtifactError: `folder` is no artifact, its manifest is damaged, or a newer version made it.
    """
    manifest = read_manifest(folder)
    return Inspection(
        artifact=str(folder),
        manifest=manifest,
        size_bytes=manifest.bytes,
        damage=_damage(folder, manifest),
        unfit=_unfit(folder, manifest, host),
    )


def _damage(folder: Path, manifest: Manifest) -> str | None:
    try:
        check_files(folder, manifest)
    except ArtifactError as error:
        return str(error)
    return None


def _unfit(folder: Path, manifest: Manifest, host: HostFacts) -> str | None:
    try:
        check_host(folder, manifest, host)
        if manifest.target.kind == "cuda":
            check_gpu(folder, manifest)
    except ArtifactError as error:
        return str(error)
    return None


def lines(found: Inspection) -> list[str]:
    """Say it all for a person, one `label  value` a line."""
    manifest, target = found.manifest, found.manifest.target
    computed, _, written = manifest.precision.partition(" ")
    rows = [
        ("model", f"{manifest.model} ({manifest.frontend}, {computed})"),
        *([("precision", f"{computed} {written}")] if written else []),
        ("source", f"BLAKE2b {manifest.source_digest}"),
        ("import path", road_line(manifest.road)),
        ("made", f"{manifest.created_at}, schema {manifest.schema_version}"),
        *(("input", _tensor(spec)) for spec in manifest.inputs),
        *(("output", _tensor(spec)) for spec in manifest.outputs),
        ("target", f"{target.name}: {target.cpu}, {target.triple}"),
        ("needs", ", ".join(target.features) or "no CPU feature beyond the architecture's own"),
        ("toolchain", ", ".join(f"{name} {version}" for name, version in manifest.toolchain.items())),
        ("options", ", ".join(f"{name}={value}" for name, value in manifest.options.items()) or "none"),
        ("compiled", _coverage(manifest)),
        *(("buckets", text) for text in _buckets(manifest)),
        *(("segment", text) for text in _segments(manifest)),
        *(("not compiled", text) for text in _not_compiled(manifest)),
        *(("parity", text) for text in _parity(manifest)),
        *(("as given", text) for text in (given_lines(manifest.parity) if manifest.parity else ())),
        *(("samples", text) for text in (sample_lines(manifest.parity) if manifest.parity else ())),
        ("stages", _stages(manifest)),
        ("size", _size(manifest)),
        ("digests", found.damage or "all files are whole"),
        ("runs here", f"no: {found.unfit}" if found.unfit else "yes"),
    ]
    width = max(len(label) for label, _ in rows)
    return [f"{label:<{width}}  {text}" for label, text in rows]


def road_line(road: Road | None) -> str:
    """Say by which import path the model came into the compiler, and why not by the shortest."""
    if road is None:
        return "not on record (made by an older version)"
    return f"{road.name} ({road.reason})" if road.reason else road.name


def _tensor(spec: TensorSpec) -> str:
    limits = spec.limits or (None,) * len(spec.shape)
    sizes = [
        str(size) if size is not None else f"{limit[0]}..{limit[1]}" if limit else "any"
        for size, limit in zip(spec.shape, limits, strict=True)
    ]
    return f"{spec.name}: {spec.dtype}, {' x '.join(sizes) or 'scalar'}"


def _buckets(manifest: Manifest) -> list[str]:
    if manifest.buckets is None:
        return []
    rows = [
        ", ".join(f"{name} {cell}" for name, cell in zip(columns(manifest.buckets), row, strict=True) if cell)
        for row in bucket_rows(manifest.buckets)
    ]
    return [*sentences(manifest.buckets), *(row.removeprefix("bucket ") for row in rows)]


def _coverage(manifest: Manifest) -> str:
    found = manifest.coverage
    if found is None:
        return "not on record (made by an older version)"
    if not found.operators_share and found.fallback:
        return f"0 % compiled: all operators run in ONNX Runtime: {', '.join(found.fallback)}"
    share = "a share that can't be counted" if found.flops_share is None else percent(found.flops_share)
    text = f"{percent(found.operators_share)} of the operators, {share} of the FLOPs"
    if manifest.segments:
        text += f", in {len(manifest.segments)} segments"
    if manifest.buckets and shares_differ(manifest.buckets):
        text += ", in the bucket with the least"
    return f"{text}; not compiled: {', '.join(found.fallback)}" if found.fallback else text


def compiled_lines(manifest: Manifest) -> list[str]:
    """Say for a person how much is compiled, and what is not and why."""
    if manifest.coverage is None:
        return []
    found = _not_compiled(manifest)
    told = [f"  in ONNX Runtime: {text}" for text in found]
    slow = [
        f"slow kernel: {each.kernel}: rule {each.rule} failed: {each.message}"
        for each in manifest.rule_failures
    ]
    names = ", ".join(dict.fromkeys(each.operator for each in manifest.non_finite))
    differing = [f"may differ on NaN and infinities only: {names} (manifest.json says why)"] if names else []
    return [f"compiled: {_coverage(manifest)}", *told, *slow, *differing]


def _segments(manifest: Manifest) -> list[str]:
    return [
        f"{segment.path}: {segment.operators} operators, {segment.engine}; reads "
        f"{', '.join(segment.inputs) or 'nothing'}; gives {', '.join(segment.outputs)}"
        for segment in manifest.segments
    ]


def _not_compiled(manifest: Manifest) -> list[str]:
    """Each kind of operator that is not compiled, with the first node of it, and why."""
    kinds: dict[tuple[str, str], list[FallbackOperator]] = {}
    inside = manifest.buckets.not_compiled if manifest.buckets else ()
    for each in (*inside, *(one for segment in manifest.segments for one in segment.not_compiled)):
        kinds.setdefault((each.operator, each.why), []).append(each)
    return [operator_words(alike) for alike in kinds.values()]


def operator_words(alike: list[FallbackOperator]) -> str:
    """Word operators of one kind that are not compiled for one reason."""
    first = alike[0]
    more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
    where = f"node {first.node!r}{more}, domain {first.domain}, opset {first.opset}"
    return f"{first.operator} ({where}): {first.why}"


def _parity(manifest: Manifest) -> list[str]:
    report = manifest.parity
    if report is None:
        return [f"not checked: {manifest.parity_skipped}" if manifest.parity_skipped else "not checked"]
    return [
        f"{row.output}: max abs {row.max_abs:.1e}, max rel {row.max_rel:.1e} (allowed "
        f"{allowed_words(row, report)}), cosine {row.cosine:.7f} against {report.reference}{_where(report)}"
        f"{'' if row.decided else ': not decided'}"
        for row in report.outputs
    ]


def _where(report: ParityReport) -> str:
    return "" if report.ran_on == "this machine" else f" ({report.ran_on})"


def _stages(manifest: Manifest) -> str:
    """Total and the slowest stages; JSON has all."""
    slowest = sorted(manifest.stages, key=lambda stage: -stage.seconds)[:5]
    named = ", ".join(f"{stage.stage} {short_duration(stage.seconds)}" for stage in slowest)
    total = short_duration(sum(stage.seconds for stage in manifest.stages))
    return f"{total} in {len(manifest.stages)}; slowest: {named}"


def _size(manifest: Manifest) -> str:
    if manifest.segments:
        return f"{manifest.bytes / BYTES_PER_MIB:.2f} MiB in {len(manifest.segments)} segments"
    code = "libraries and segments" if manifest.buckets else "library"
    library = f"{code} {manifest.library_bytes / BYTES_PER_MIB:.2f} MiB"
    if manifest.gpu_code:
        library += f", {manifest.gpu_code.format} {manifest.gpu_code.bytes / BYTES_PER_MIB:.2f} MiB"
    if manifest.weights is None:
        return f"{library}, the weights in the library"
    return f"{library}, weights {manifest.weights.bytes / BYTES_PER_MIB:.2f} MiB"
