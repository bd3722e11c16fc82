"""From a model to an artifact folder: front end, stages, link, parity, manifest; whole or not at all."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import CompileError, ParityError
from modeldyno.base.files import staged_folder, write_bytes
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.artifact.manifests import common_facts, whole_coverage, why_unasked, write_manifest
from modeldyno.compiler.artifact.outputs import check_output
from modeldyno.compiler.check.emulation.gpu import EmulatedGpu
from modeldyno.compiler.check.emulation.root import cpu_model, find_emulator
from modeldyno.compiler.check.emulation.run import EmulatedSession
from modeldyno.compiler.check.reach import runs_where
from modeldyno.compiler.check.verify import check_parity
from modeldyno.compiler.codegen.link import link
from modeldyno.compiler.memory.weights import write_weights
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.options import Options
from modeldyno.compiler.stages.base import OnStage
from modeldyno.compiler.stages.run import Built, run_stages
from modeldyno.compiler.targets.catalog import CompileTarget, runs_here
from modeldyno.runtime.artifact import digest_file
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import GPU_CODE_NAME, LIBRARY_NAME, Manifest
from modeldyno.runtime.records.manifest_file import digest_bytes
from modeldyno.runtime.records.origin import GpuCodeFile, StageTime
from modeldyno.runtime.records.parity import ParityReport
from modeldyno.runtime.records.weights import WEIGHTS_NAME, WeightsFile
from modeldyno.runtime.sessions.base import AnySession

if TYPE_CHECKING:
    from modeldyno.compiler.tuning.tuner import Tuner

OnTuning = Callable[[str], None]
Emulated = EmulatedSession | EmulatedGpu
Runner = AnySession | Emulated


def compile_source(
    source: Source,
    output: Path,
    target: CompileTarget,
    options: Options,
    *,
    on_stage: OnStage | None = None,
    on_tuning: OnTuning | None = None,
) -> Manifest:
    """Compile a source model into the artifact folder `output`, replacing what stood there.

    With `options.fallback`, what can't be compiled becomes segments that run in another runtime.

    Raises:
        CompileError: operators can't be compiled (all are named), a stage failed, or the linker is missing.
        ParityError: the outputs differ. CoverageError: less than `options.min_compiled` is compiled.
        ConfigError: kernels are to be measured for a processor that this machine is not.
        OutputError: the folder or the tuning records can't be written.
    """
    if options.fallback:
        from modeldyno.compiler.fallback.cut import compile_with_fallback

        return compile_with_fallback(source, output, target, options, on_stage=on_stage, on_tuning=on_tuning)
    try:
        return compile_whole(source, output, target, options, on_stage=on_stage, on_tuning=on_tuning)
    except ParityError as error:
        if on_stage:
            on_stage("find the wrong kernel")
        raise _blamed(error, source, target, options) from error
    except CompileError as error:
        from modeldyno.compiler.fallback.blame import explained

        if on_stage:
            on_stage("find what failed")
        raise explained(source, target, options, error) from error


def compile_whole(
    source: Source,
    output: Path,
    target: CompileTarget,
    options: Options,
    *,
    on_stage: OnStage | None = None,
    on_tuning: OnTuning | None = None,
) -> Manifest:
    """Compile all of a source model, as one.

    Where the outputs differ by more than the tolerance, the model is compiled again without what can be
    the cause: first without tuned kernels, then without Winograd convolutions. Where a stage fails, or they
    differ still, it is compiled by the source's next road, if there is one.

    Raises:
        CompileError: a stage failed, or the linker is missing. ParityError: the outputs differ.
        ConfigError: kernels are to be measured for a processor that this machine is not.
        OutputError: the folder or the tuning records can't be written.
    """
    from modeldyno.compiler.frontends.import_paths import by_any_road

    check_output(output)
    return by_any_road(
        source,
        lambda way: _compile_calmly(way, output, target, options, on_stage=on_stage, on_tuning=on_tuning),
        say=on_tuning or _say_nothing,
    )


def _blamed(error: ParityError, source: Source, target: CompileTarget, options: Options) -> ParityError:
    """Give the error with the first kernel that is wrong in it, where the kernels run on this machine."""
    way_out = ". `--fallback onnxruntime` runs there what differs" if source.model is not None else ""
    if target.kind != "llvm":
        return error
    if not runs_here(target, host_facts()):
        return ParityError(f"{error}{way_out}", stage=error.stage, target=error.target, feeds=error.feeds)
    from modeldyno.compiler.check.kernel_check import blame
    from modeldyno.compiler.tuning.tuner import tuner

    # The last that was tried: without tuned kernels, and without Winograd convolutions.
    calmest = replace(options, tune_s=None, reuse_tuning=False, winograd=False)
    kernels = tuner(target, calmest, report=_say_nothing, warn=_say_nothing)
    seen = source if error.feeds is None else replace(source, feeds=lambda _seed: error.feeds or {})
    said = blame(seen, target, seed=options.seed, chooser=kernels.choose)
    return ParityError(f"{error}{way_out}. {said}", stage=error.stage, target=error.target, feeds=error.feeds)


def _compile_calmly(
    source: Source,
    output: Path,
    target: CompileTarget,
    options: Options,
    *,
    on_stage: OnStage | None,
    on_tuning: OnTuning | None,
) -> Manifest:
    from modeldyno.compiler.tuning.tuner import tuner  # imports TVM: not before there is something to compile

    warn = on_tuning or _warn
    kernels = tuner(target, options, report=on_tuning or _say_nothing, warn=warn)
    try:
        return _compile(source, output, target, options, kernels=kernels, on_stage=on_stage, warn=warn)
    except ParityError as error:
        calmer, cause = _calmer(options, kernels)
        if calmer is None:
            raise
        warn(f"with {cause} {error}. Compiled again without them")
    return _compile_calmly(source, output, target, calmer, on_stage=on_stage, on_tuning=on_tuning)


def _calmer(options: Options, kernels: Tuner) -> tuple[Options | None, str]:
    """Give options without the likeliest cause of a difference, and its name; None when none is left."""
    if kernels.changed:
        return replace(options, tune_s=None, reuse_tuning=False), "tuned kernels"
    if kernels.uses_winograd:
        return replace(options, tune_s=None, reuse_tuning=False, winograd=False), "Winograd convolutions"
    return None, ""


def _compile(
    source: Source,
    output: Path,
    target: CompileTarget,
    options: Options,
    *,
    kernels: Tuner,
    on_stage: OnStage | None,
    warn: OnTuning,
) -> Manifest:
    built = run_stages(
        source,
        target,
        on_stage=on_stage,
        dump_dir=options.dump_dir,
        chooser=kernels.choose,
        tune=kernels.tune if options.tune_s is not None else None,
        warn=warn,
    )
    winograd = kernels.uses_winograd
    with staged_folder(output) as stage:
        times = list(built.stages)
        library = stage / LIBRARY_NAME
        times.append(_timed("link", lambda: link(built.executable, library, target), on_stage))
        weights = write_weights(stage / WEIGHTS_NAME, built.weights) if built.weights is not None else None
        gpu: list[GpuCodeFile] = []
        if target.kind == "cuda":
            times.append(
                _timed("kernels", lambda: gpu.append(_write_kernels(stage, built, target)), on_stage)
            )
        manifest = _manifest(source, target, options, built, times=times, library=library, weights=weights)
        manifest = manifest.model_copy(update={"gpu_code": gpu[0] if gpu else None})
        manifest = manifest.model_copy(update={"tuning": kernels.facts()})
        manifest = write_manifest(stage, manifest)
        runner = why_unasked(options, source) or _runner(stage, target, built)
        if isinstance(runner, str):
            return write_manifest(stage, manifest.model_copy(update={"parity_skipped": runner}))
        reports: list[ParityReport] = []
        times.append(
            _timed(
                f"verify ({runner.name})" if isinstance(runner, Emulated) else "verify",
                lambda: reports.append(
                    _verify(source, runner, target, options, options.tolerance_of(winograd=winograd))
                ),
                on_stage,
            )
        )
        manifest = manifest.model_copy(update={"parity": reports[0], "stages": tuple(times)})
        return write_manifest(stage, manifest)


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=2)


def _say_nothing(_text: str) -> None:
    """Progress that nobody asked for."""


def _timed(name: str, work: Any, on_stage: OnStage | None) -> StageTime:
    if on_stage:
        on_stage(name)
    began = time.perf_counter()
    work()
    return StageTime(stage=name, seconds=round(time.perf_counter() - began, 4))


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


def _verify(
    source: Source, runner: Runner, target: CompileTarget, options: Options, tolerance: float
) -> ParityReport:
    report = check_parity(
        source,
        runner,
        seed=options.seed,
        tolerance=tolerance,
        whole_tolerance=options.whole_tolerance,
        target=target.name,
    )
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


def _manifest(
    source: Source,
    target: CompileTarget,
    options: Options,
    built: Built,
    *,
    times: list[StageTime],
    library: Path,
    weights: WeightsFile | None,
) -> Manifest:
    return Manifest(
        **common_facts(source, target, options),
        stages=tuple(times),
        coverage=whole_coverage(source),
        kernels=built.kernels,
        peak=built.peak,
        rule_failures=built.rule_failures,
        guards=built.guards,
        non_finite=built.non_finite,
        library_digest=digest_file(library),
        library_bytes=library.stat().st_size,
        weights=weights,
    )
