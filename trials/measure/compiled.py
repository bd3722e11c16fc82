"""Compile the model into the run folder, in a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.errors import ArtifactError, OutputError
from modeldyno.base.files import mapped_output_errors
from modeldyno.base.flags import arguments_of
from modeldyno.base.process.procs import python_module, start
from modeldyno.base.records.compiling import CompiledShape, CompileSummary
from modeldyno.base.units import percent
from modeldyno.compiler.options import CompileSource, Options
from modeldyno.runtime.buckets_text import sentences
from modeldyno.runtime.records.buckets import Bucket
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.trials.measure.orders import CompileOrder

# A compiler that fails with less than this free is taken to have met a full disk.
FULL_BYTES = 4 << 20


@dataclass(frozen=True)
class Compiled:
    """An artifact, or why there is none."""

    manifest: Manifest | None
    reused: bool = False
    failure: str | None = None
    log_tail: str = ""


def existing_artifact(folder: Path, source_digest: str) -> Manifest | None:
    """Return the manifest of an artifact that was made from this very model; None when there is none."""
    try:
        manifest = read_manifest(folder)
    except ArtifactError:
        return None
    return manifest if manifest.source_digest == source_digest else None


def compile_apart(model: Path, folder: Path, order: CompileOrder, log: Path) -> Compiled:
    """Compile `model` as ordered into `folder`, which is replaced only by a whole artifact.

    In a child process: a compiler that crashes does not end the run, its memory is given back before anything
    is measured, and it can be interrupted at any moment.
    """
    with _workplace(folder) as work:
        command = _command(model, work / "artifact", order)
        with start(command, log=log, env={"TMPDIR": str(work)}) as child:
            code = child.process.wait()
            tail = child.log_tail()
        if code != 0 and shutil.disk_usage(work).free < FULL_BYTES:
            raise OutputError(f"the disk of {folder.parent} is full: make room, then give the same command")
        if code != 0:
            return Compiled(None, failure=f"compilation failed: {_reason(code, tail)}", log_tail=tail)
        shutil.rmtree(folder, ignore_errors=True)
        with mapped_output_errors(folder):
            (work / "artifact").rename(folder)
    return Compiled(read_manifest(folder))


def summary(manifest: Manifest, options: dict[str, str]) -> CompileSummary | None:
    """Return what the report says of an artifact; None when its outputs were not compared.

    `options` is what it was compiled with (`CompileOrder.described`).
    """
    if manifest.parity is None:
        return None
    outputs = manifest.parity.outputs
    found = manifest.coverage
    return CompileSummary(
        target=manifest.target.name,
        seconds=round(sum(stage.seconds for stage in manifest.stages), 3),
        max_abs=max(each.max_abs for each in outputs),
        max_rel=max(each.max_rel for each in outputs),
        cosine=min(each.cosine for each in outputs),
        undecided=manifest.parity.undecided,
        samples=tuple(dict.fromkeys(sample.kind for sample in manifest.parity.samples)),
        operators_share=found.operators_share if found else None,
        flops_share=found.flops_share if found else None,
        fallback=found.fallback if found else (),
        options=options,
        tuning=_tuning(manifest),
        axes=tuple(sentences(manifest.buckets)) if manifest.buckets else (),
        shapes=tuple(map(_shape, manifest.buckets.buckets)) if manifest.buckets else (),
    )


def _shape(bucket: Bucket) -> CompiledShape:
    sizes = "x".join(map(str, bucket.sizes))
    return CompiledShape(sizes=sizes, p50_ms=bucket.p50_ms, padding_share=bucket.padding_share)


def _tuning(manifest: Manifest) -> str:
    found = manifest.tuning
    if found is None or not found.measured + found.from_records:
        return ""
    return (
        f"{found.measured} kernels measured now, {found.from_records} from records, "
        f"{found.default} not measured; {len(found.faster)} faster than by default"
    )


def not_wholly_compiled(manifest: Manifest | None) -> str:
    """Say what of the compiled candidates is not compiled; empty where all is."""
    found = manifest.coverage if manifest else None
    if found is None or found.whole:
        return ""
    share = "an uncounted share" if found.flops_share is None else percent(found.flops_share)
    return f"only {share} of its FLOPs are compiled; in ONNX Runtime run: {', '.join(found.fallback)}"


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Everything that the compiler writes lies in one folder, so that nothing of a killed one stays."""
    work = folder.with_name(f".{folder.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    with mapped_output_errors(work):
        work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _command(model: Path, output: Path, order: CompileOrder) -> list[str]:
    shapes = tuple(f"{name}={shape}" for name, shape in order.shapes.items())
    source = CompileSource(model=model, output=output, target=order.target, shapes=shapes)
    options = Options(**order.choices, reuse_tuning=order.tuning_records)
    return python_module("modeldyno", "compile", *arguments_of(source), *arguments_of(options))


def _reason(code: int, tail: str) -> str:
    if code < 0:
        return f"the compiler was killed by signal {-code}"
    lines = [line for line in tail.splitlines() if line.strip()]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (told or lines or [f"exit status {code}"])[-1]
