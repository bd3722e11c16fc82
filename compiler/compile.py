"""One model to an artifact: as a whole or cut into segments; what fails is explained by what is to blame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modeldyno.base.errors import CompileError, ParityError
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.watch import silent
from modeldyno.compiler.whole import compile_whole
from modeldyno.runtime.records.manifest import Manifest


def compile_source(request: CompileRequest, output: Path) -> Manifest:
    """Compile a source model into the artifact folder `output`, replacing what stood there.

    With `options.fallback`, what can't be compiled becomes segments that run in another runtime.

    Raises:
        CompileError: operators can't be compiled (all are named), a stage failed, or the linker is missing.
        ParityError: the outputs differ. CoverageError: less than `options.min_compiled` is compiled.
        ConfigError: kernels are to be measured for a processor that this machine is not.
        OutputError: the folder or the tuning records can't be written.
    """
    if request.options.fallback:
        from modeldyno.compiler.fallback.cut import compile_with_fallback

        return compile_with_fallback(request, output)
    try:
        return compile_whole(request, output)
    except ParityError as error:
        request.watch.stage("find the wrong kernel")
        raise _blamed(error, request) from error
    except CompileError as error:
        from modeldyno.compiler.fallback.blame import explained

        request.watch.stage("find what failed")
        raise explained(request, error) from error


def _blamed(error: ParityError, request: CompileRequest) -> ParityError:
    """Give the error with the first kernel that is wrong in it, where the kernels run on this machine."""
    source, target, options = request.source, request.target, request.options
    way_out = ". `fallback=onnxruntime` runs there what differs" if source.model is not None else ""
    if target.kind != "llvm":
        return error
    if not request.runs_here:
        return ParityError(f"{error}{way_out}", stage=error.stage, target=error.target, feeds=error.feeds)
    from modeldyno.compiler.check.kernel_check import blame
    from modeldyno.compiler.tuning.tuner import tuner

    # As in the last try: without tuned kernels, and without Winograd convolutions.
    plain = replace(options, tune_s=None, reuse_tuning=False, winograd=False)
    kernels = tuner(target, plain, report=silent, warn=silent)
    seen = source if error.feeds is None else replace(source, feeds=lambda _seed: error.feeds or {})
    said = blame(seen, target, seed=options.seed, chooser=kernels.choose)
    return ParityError(f"{error}{way_out}. {said}", stage=error.stage, target=error.target, feeds=error.feeds)
