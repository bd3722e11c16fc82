"""One whole model to an artifact folder: stages, link, parity, manifest; written as a whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modeldyno.base.digests import digest_file
from modeldyno.base.errors import ParityError
from modeldyno.base.files import staged_folder, write_bytes
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.artifact.manifests import common_facts, whole_coverage, why_unasked, write_manifest
from modeldyno.compiler.artifact.outputs import check_output
from modeldyno.compiler.check.emulation.gpu import EmulatedGpu
from modeldyno.compiler.check.emulation.root import cpu_model, find_emulator
from modeldyno.compiler.check.emulation.run import EmulatedSession
from modeldyno.compiler.check.reach import runs_where
from modeldyno.compiler.check.verify import check_request
from modeldyno.compiler.codegen.link import link
from modeldyno.compiler.frontends.import_paths import by_any_path
from modeldyno.compiler.memory.weights import write_weights
from modeldyno.compiler.options import Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.stages.run import Built, run_stages
from modeldyno.compiler.stages.times import StageTimes
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import GPU_CODE_NAME, LIBRARY_NAME, Manifest
from modeldyno.runtime.records.manifest_file import digest_bytes
from modeldyno.runtime.records.origin import GpuCodeFile
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.records.weights import WEIGHTS_NAME
from modeldyno.runtime.sessions.base import AnySession

if TYPE_CHECKING:
    from modeldyno.compiler.tuning.tuner import Tuner

Emulated = EmulatedSession | EmulatedGpu
Runner = AnySession | Emulated


def compile_whole(request: CompileRequest, output: Path) -> Manifest:
    """Compile all of a source model, as one, into the artifact folder `output`.

    Where the outputs differ by more than the tolerance, the model is compiled again without what can be
    the cause: first without tuned kernels, then without Winograd convolutions. Where a stage fails, or they
    differ still, it is compiled by the source's next import path, if there is one.

    Raises:
        CompileError: a stage failed, or the linker is missing. ParityError: the outputs differ.
        ConfigError: kernels are to be measured for a processor that this machine is not.
        OutputError: the folder or the tuning records can't be written.
    """
    check_output(output)
    return by_any_path(
        request.source,
        lambda source: _compile_with_retries(replace(request, source=source), output),
        say=request.watch.tuning,
    )


def _compile_with_retries(request: CompileRequest, output: Path) -> Manifest:
    from modeldyno.compiler.tuning.tuner import tuner  # imports TVM: not before there is something to compile

    watch = request.watch
    kernels = tuner(request.target, request.options, report=watch.tuning, warn=watch.warn)
    try:
        return _compile(request, output, kernels)
    except ParityError as error:
        fewer, cause = _without_cause(request.options, kernels)
        if fewer is None:
            raise
        watch.warn(f"with {cause} {error}. Compiled again without them")
    return _compile_with_retries(replace(request, options=fewer), output)


def _without_cause(options: Options, kernels: Tuner) -> tuple[Options | None, str]:
    """Give options without the likeliest cause of a difference, and its name; None when none is left."""
    if kernels.changed:
        return replace(options, tune_s=None, reuse_tuning=False), "tuned kernels"
    if kernels.uses_winograd:
        return replace(options, tune_s=None, reuse_tuning=False, winograd=False), "Winograd convolutions"
    return None, ""


def _compile(request: CompileRequest, output: Path, kernels: Tuner) -> Manifest:
    options, watch, target = request.options, request.watch, request.target
    built = run_stages(
        request.source,
        target,
        watch=watch,
        dump_dir=options.dump_dir,
        chooser=kernels.choose,
        tune=kernels.tune if options.tune_s is not None else None,
    )
    winograd = kernels.uses_winograd
    with staged_folder(output) as stage:
        times = StageTimes(built.stages)
        manifest = _written(request, built, stage, times)
        manifest = write_manifest(stage, manifest.model_copy(update={"tuning": kernels.facts()}))
        runner = why_unasked(request) or _runner(stage, target, built)
        if isinstance(runner, str):
            return write_manifest(stage, manifest.model_copy(update={"parity_skipped": runner}))
        name = f"verify ({runner.name})" if isinstance(runner, Emulated) else "verify"
        watch.stage(name)
        with times.step(name):
            report = _verify(request, runner, options.tolerance_of(winograd=winograd))
        manifest = manifest.model_copy(update={"parity": report, "stages": tuple(times)})
        return write_manifest(stage, manifest)


def _written(request: CompileRequest, built: Built, folder: Path, times: StageTimes) -> Manifest:
    """Write the code and the weights; give what there is to say of them."""
    target, library = request.target, folder / LIBRARY_NAME
    request.watch.stage("link")
    with times.step("link"):
        link(built.executable, library, target)
    weights = write_weights(folder / WEIGHTS_NAME, built.weights) if built.weights is not None else None
    gpu_code = None
    if target.kind == "cuda":
        request.watch.stage("kernels")
        with times.step("kernels"):
            gpu_code = _write_kernels(folder, built, target)
    return Manifest(
        **common_facts(request),
        stages=tuple(times),
        coverage=whole_coverage(request),
        kernels=built.kernels,
        peak=built.peak,
        rule_failures=built.rule_failures,
        guards=built.guards,
        non_finite=built.non_finite,
        library_digest=digest_file(library),
        library_bytes=library.stat().st_size,
        weights=weights,
        gpu_code=gpu_code,
    )


def _runner(artifact: Path, target: CompileTarget, built: Built) -> Runner | str:
    """Give what runs the artifact: this machine, or the emulator; or why nothing here does."""
    reach = runs_where(target, host_facts())
    if reach.runs == "yes":
        return open_session(artifact, threads=1)
    if reach.runs == "emulated" and target.kind == "cuda":
        from modeldyno.compiler.codegen.cuda import cuda_source

        source = cuda_source(built.executable, target)
        return EmulatedGpu(artifact, source, target.cpu.removeprefix("sm_"))
    emulator, cpu = find_emulator(), cpu_model(target)
    if reach.runs == "emulated" and emulator and cpu:
        return EmulatedSession(emulator, cpu, artifact)
    return reach.reason


def _verify(request: CompileRequest, runner: Runner, tolerance: float) -> ParityReport:
    report = check_request(request, runner, tolerance)
    return report.model_copy(update={"ran_on": runner.name}) if isinstance(runner, Emulated) else report


def _write_kernels(folder: Path, built: Built, target: CompileTarget) -> GpuCodeFile:
    from modeldyno.compiler.codegen.cuda import compile_kernels, cuda_source

    source = cuda_source(built.executable, target)
    code, compiler = compile_kernels(source, target)
    write_bytes(folder / GPU_CODE_NAME, code)
    return GpuCodeFile(
        digest=digest_file(folder / GPU_CODE_NAME),
        source_digest=digest_bytes(source.encode()),
        bytes=len(code),
        format="cubin",
        compiler=compiler,
    )
