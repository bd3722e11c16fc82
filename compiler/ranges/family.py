"""One artifact for several shapes: each bucket compiled as an artifact of its own, on one weights file.

First the source model shows that padding is right (`compiler.ranges.padding`); then each bucket goes through
all stages and its own parity check, the largest first; last the whole is run at sizes between the buckets and
timed (`compiler.ranges.trial`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modeldyno.base.errors import CompileError, DynoError
from modeldyno.base.files import staged_folder
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.artifact.manifests import digest_of_digests, write_manifest
from modeldyno.compiler.artifact.outputs import check_output
from modeldyno.compiler.artifact.shared_weights import SharedWeights
from modeldyno.compiler.check.judgement import Bounds
from modeldyno.compiler.compile import compile_source
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.model.shapes import Template
from modeldyno.compiler.model.source import UserInputs
from modeldyno.compiler.options import Options
from modeldyno.compiler.ranges.any_shape import AnyShape
from modeldyno.compiler.ranges.independence import Judge
from modeldyno.compiler.ranges.padding import check_axes, worst_sizes
from modeldyno.compiler.ranges.splitting import independence
from modeldyno.compiler.ranges.trial import Between, check_between, measure, shown, worst_parity
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.stages.times import StageTimes, stage_time
from modeldyno.compiler.targets.catalog import CompileTarget, runs_here
from modeldyno.compiler.watch import UNWATCHED, Watch
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.buckets import Axis, Bucket, Buckets, bucket_folder
from modeldyno.runtime.records.guards import Guard
from modeldyno.runtime.records.kernels import RuleFailure
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.origin import Coverage, StageTime
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.records.segments import FallbackOperator
from modeldyno.runtime.records.weights import WeightsFile
from modeldyno.runtime.sessions.buckets import BucketedSession

THREADS = 1  # what buckets are timed with
Sizes = tuple[int, ...]
Parts = dict[Sizes, Manifest]  # ascending


@dataclass(frozen=True)
class FamilyCompile:
    """What to compile, and who hears of it."""

    family: Family
    template: Template
    target: CompileTarget
    options: Options
    watch: Watch = UNWATCHED
    records: tuple[UserInputs, ...] = ()


def compile_family(job: FamilyCompile, output: Path) -> Manifest:
    """Compile a model for all sizes of its open axes into the artifact folder `output`.

    Raises:
        CompileError: a range can't be padded, or a stage failed. ParityError: the outputs differ.
        ModelError, ConfigError: the model takes other shapes. OutputError: the folder can't be written.
    """
    check_output(output)
    job.watch.stage("shapes")
    times = StageTimes()
    with times.step("shapes"):
        judge = Judge(job.family, job.template)
        axes = check_axes(
            job.family, job.template, seed=job.options.seed, target=job.target.name, judge=judge
        )
        model = AnyShape(job.family, job.template, job.options.seed, job.target.name)
        rows = independence(model, judge, axes)
    with staged_folder(output) as stage:
        parts = _compile_parts(job, stage, list(itertools.product(*(axis.sizes for axis in axes))))
        _check_divisors(job, parts, axes)
        whole = _whole(parts, axes, times).model_copy(update={"rows_independent": rows})
        manifest = write_manifest(stage, whole)
        if runs_here(job.target, host_facts()):
            manifest = write_manifest(stage, _tried(job, stage, manifest))
    return manifest


def _compile_parts(job: FamilyCompile, stage: Path, every: Sequence[Sizes]) -> Parts:
    """Compile every bucket, each on its share of the time to tune in, and move all weights into one file."""
    weights = SharedWeights(stage)
    found = {}
    for number, sizes in enumerate(sorted(every, key=math.prod, reverse=True)):
        title = f"bucket {shown(sizes)} ({number + 1} of {len(every)})"
        folder = stage / bucket_folder(sizes)
        job.watch.stage(title)
        found[sizes] = weights.take(folder, _compile_part(job, folder, sizes, title, len(every)))
    shared = weights.close()
    return {sizes: weights.settle(stage / bucket_folder(sizes), found[sizes], shared) for sizes in every}


def _check_divisors(job: FamilyCompile, parts: Parts, axes: tuple[Axis, ...]) -> None:
    """Refuse a model that divides whole numbers by what a smaller request is padded in: by zeros."""
    for same in _same_guards(parts, axes):
        if not same[0].low and len({guard.shape for guard in same}) > 1:
            raise CompileError(
                f"{same[0].operator} {same[0].node!r} divides whole numbers by {same[0].input!r}, whose size "
                "is open: smaller requests would be padded with zeros. Give exact sizes, e.g. 1|2|4",
                stage="shapes",
                target=job.target.name,
            )


def _same_guards(parts: Parts, axes: tuple[Axis, ...]) -> Iterator[tuple[Guard, ...]]:
    """Give each guard as the parts have it that a request may be padded to: of the same exact sizes."""

    def exact(sizes: Sizes) -> Sizes:
        return tuple(size for size, axis in zip(sizes, axes, strict=True) if not axis.padded)

    for _, alike in itertools.groupby(sorted(parts, key=exact), exact):
        yield from zip(*(parts[sizes].guards for sizes in alike), strict=False)


def _compile_part(job: FamilyCompile, folder: Path, sizes: Sizes, title: str, count: int) -> Manifest:
    options = replace(
        job.options,
        dump_dir=job.options.dump_dir / shown(sizes) if job.options.dump_dir else None,
        tune_s=job.options.tune_s / count if job.options.tune_s else None,
    )
    try:
        source = job.family.at(job.template.at(sizes))
        return compile_source(CompileRequest(source, job.target, options, job.watch.titled(title)), folder)
    except DynoError as error:
        error.args = (f"bucket {shown(sizes)}: {error}", *error.args[1:])
        raise


def _whole(parts: Parts, axes: tuple[Axis, ...], before: StageTimes) -> Manifest:
    """Describe the artifact that the parts make; what they share is taken from the largest."""
    largest = parts[max(parts, key=math.prod)]
    widest = max(parts.values(), key=lambda part: len(part.target.features))  # none where nothing is compiled
    weights = _union([part.weights for part in parts.values() if part.weights])
    return largest.model_copy(
        update={
            "inputs": tuple(_input(spec, axes) for spec in largest.inputs),
            "outputs": tuple(
                _output(index, list(parts.values()), axes) for index in range(len(largest.outputs))
            ),
            "stages": _summed([*before, *(time for part in parts.values() for time in part.stages)]),
            "parity": worst_parity([part.parity for part in parts.values()]),
            "coverage": _least_coverage([part.coverage for part in parts.values() if part.coverage]),
            "target": widest.target,
            "kernels": (),
            "segments": (),
            "peak": None,
            "rule_failures": _rule_failures(parts.values()),
            "non_finite": tuple(dict.fromkeys(each for part in parts.values() for each in part.non_finite)),
            "library_digest": digest_of_digests(part.library_digest for part in parts.values()),
            "library_bytes": sum(map(_code_bytes, parts.values())),
            "weights": weights,
            "buckets": Buckets(
                axes=axes,
                buckets=tuple(_bucket(sizes, part, axes) for sizes, part in parts.items()),
                not_compiled=_not_compiled(parts.values()),
            ),
        }
    )


def _rule_failures(parts: Iterable[Manifest]) -> tuple[RuleFailure, ...]:
    return tuple(dict.fromkeys(failure for part in parts for failure in part.rule_failures))


def _bucket(sizes: Sizes, part: Manifest, axes: tuple[Axis, ...]) -> Bucket:
    covered = part.coverage
    worst = worst_sizes(axes, sizes)
    return Bucket(
        sizes=sizes,
        manifest_digest=part.manifest_digest,
        library_digest=part.library_digest,
        library_bytes=part.library_bytes,
        flops=_flops(part),
        worst_sizes=worst,
        padding_share=round(1 - math.prod(worst) / math.prod(sizes), 4),
        operators_share=covered.operators_share if covered else None,
        flops_share=covered.flops_share if covered else None,
    )


def _flops(part: Manifest) -> int | None:
    if part.segments:
        return part.coverage.flops if part.coverage else None
    flops = [kernel.flops * kernel.calls for kernel in part.kernels if kernel.flops is not None]
    return sum(flops) if flops else None


def _code_bytes(part: Manifest) -> int:
    return part.library_bytes + sum(segment.bytes for segment in part.segments)


def _not_compiled(parts: Iterable[Manifest]) -> tuple[FallbackOperator, ...]:
    """Give each operator that runs in ONNX Runtime once, in whichever bucket it does."""
    found: dict[tuple[str, str, str], FallbackOperator] = {}
    for each in (each for part in parts for segment in part.segments for each in segment.not_compiled):
        found.setdefault((each.operator, each.domain, each.node), each)
    return tuple(found.values())


def _tried(job: FamilyCompile, stage: Path, manifest: Manifest) -> Manifest:
    """Run the finished artifact at sizes between its buckets, and time each bucket."""
    session, buckets = open_session(stage, threads=THREADS), manifest.buckets
    if not isinstance(session, BucketedSession) or buckets is None:
        return manifest
    times = StageTimes(manifest.stages)
    if manifest.parity is not None:
        job.watch.stage("verify between the buckets")
        with times.step("verify_between"):
            between = Between(job.family, session, job.options.seed, _bounds(manifest.parity, job.options))
            found = check_between(between, job.records, target=job.target.name)
        manifest = manifest.model_copy(update={"parity": worst_parity([manifest.parity, *found])})
    job.watch.stage("measure")
    with times.step("measure"):
        p50_ms = measure(session)
    timed = [bucket.model_copy(update={"p50_ms": p50_ms[bucket.sizes]}) for bucket in buckets.buckets]
    facts = {"buckets": tuple(timed), "measured_on": host_facts().cpu_model, "measured_threads": THREADS}
    return manifest.model_copy(update={"stages": tuple(times), "buckets": buckets.model_copy(update=facts)})


def _bounds(report: ParityReport, options: Options) -> Bounds:
    """Give the buckets' own tolerances."""
    return Bounds(report.tolerance_max_rel, options.whole_tolerance)


def _input(spec: TensorSpec, axes: tuple[Axis, ...]) -> TensorSpec:
    limits = {
        place.dimension: (axis.low, axis.sizes[-1])
        for axis in axes
        for place in axis.inputs
        if place.tensor == spec.name
    }
    shape = tuple(None if at in limits else size for at, size in enumerate(spec.shape))
    return spec.model_copy(
        update={
            "shape": shape,
            "limits": tuple(limits.get(at) for at in range(len(shape))) if limits else (),
        }
    )


def _output(index: int, parts: list[Manifest], axes: tuple[Axis, ...]) -> TensorSpec:
    spec = parts[-1].outputs[index]
    cut = {place.dimension for axis in axes for place in axis.outputs if place.tensor == spec.name}
    others = [part.outputs[index].shape for part in parts]
    free = [at in cut or len({shape[at] for shape in others}) > 1 for at in range(len(spec.shape))]
    shape = tuple(None if open_ else size for open_, size in zip(free, spec.shape, strict=True))
    return spec.model_copy(update={"shape": shape})


def _least_coverage(found: Sequence[Coverage]) -> Coverage | None:
    """Give the worst bucket's, which `min_compiled` is held against too: each bucket was, by itself."""
    return min(found, key=lambda each: (each.flops_share or 0.0, each.operators_share), default=None)


def _union(files: Sequence[WeightsFile]) -> WeightsFile | None:
    """Give the whole file's description: all are of one file, each with the tensors that its bucket reads."""
    tensors = dict.fromkeys(spec for file in files for spec in file.tensors)
    return files[0].model_copy(update={"tensors": tuple(tensors), "up": 0}) if files else None


def _summed(times: Sequence[StageTime]) -> tuple[StageTime, ...]:
    total: dict[str, float] = {}
    for stage in times:
        total[stage.stage] = total.get(stage.stage, 0.0) + stage.seconds
    return tuple(stage_time(name, seconds) for name, seconds in total.items())
