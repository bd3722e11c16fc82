"""GPU code: CUDA's compiler found, and the stages that make kernels with TVM's own rules for GPUs (dlight).

No GPU is needed to compile. TVM writes CUDA C, and NVIDIA's compiler turns it into a cubin or fatbin for one
architecture, which goes into the artifact's library.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from compiler.emulation.root import installed
from compiler.source import Source
from compiler.targets import CompileTarget
from dyno.errors import CompileError, ConfigError

if TYPE_CHECKING:
    from compiler.pipeline import Stage

_SHARED_STAGES = ("import", "canonicalize", "fold_batch_norm", "decompose", "fold")


def cuda_compiler() -> str | None:
    """Give which of NVIDIA's compilers is here: nvcc on the PATH, nvrtc (package cuda-bindings), or None."""
    if shutil.which("nvcc"):
        return "nvcc"
    try:
        found = importlib.util.find_spec("cuda.bindings.nvrtc")
    except ModuleNotFoundError:
        found = None
    return "nvrtc" if found else None


def why_no_cuda() -> str:
    """Say what is missing to compile for CUDA; empty where nothing is."""
    if cuda_compiler():
        return ""
    return (
        "there is no CUDA compiler: nvcc (CUDA toolkit) is not on the PATH, and the package cuda-bindings "
        "with NVRTC is not installed"
    )


def cuda_stages(stages: Sequence[tuple[str, Stage]]) -> list[tuple[str, Stage]]:
    """Give the stages for a GPU: the first ones are those of every target.

    Raises:
        ConfigError: there is no CUDA compiler.
    """
    if missing := why_no_cuda():
        raise ConfigError(missing)
    shared = dict(stages)
    return [
        *((name, shared[name]) for name in _SHARED_STAGES),
        ("fuse", _fuse),
        ("schedule", _schedule),
        ("generate", _generate),
    ]


def _fuse(module: Any, _source: Source, _target: CompileTarget) -> Any:
    import tvm
    from tvm import relax

    passes = [
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(["main"]),
    ]
    return tvm.transform.Sequential(passes)(module)


def _schedule(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from tvm.s_tir import dlight

    rules = (dlight.gpu.Matmul, dlight.gpu.GEMV, dlight.gpu.Reduction, dlight.gpu.GeneralReduction)
    return dlight.ApplyDefaultSchedule(*(rule() for rule in rules), dlight.gpu.Fallback())(module)


def _generate(module: Any, _source: Source, target: CompileTarget) -> Any:
    from tvm import relax

    return relax.build(module, target.tvm_target())


def compile_kernels(executable: Any, target: CompileTarget) -> tuple[bytes, str, str]:
    """Turn the CUDA C of an executable into the GPU's machine code; give it, its format, and what made it.

    TVM leaves this to the machine that loads the library; it should need no compiler.

    Raises:
        CompileError: NVIDIA's compiler failed, or there are no kernels.
    """
    from tvm.support.nvcc import compile_cuda

    compiler = cuda_compiler() or ""
    form = "fatbin" if compiler == "nvcc" else "cubin"
    sources = [found.inspect_source("cuda") for found in _modules(executable.mod) if found.kind == "cuda"]
    if len(sources) != 1:
        raise CompileError(
            "no operator of this model became a GPU kernel", stage="kernels", target=target.name
        )
    try:
        with target.tvm_target():
            code = bytes(compile_cuda(sources[0], target_format=form, compiler=compiler))
    except (RuntimeError, ValueError, OSError) as error:
        said = [line for line in str(error).splitlines() if "error" in line.lower()] or [str(error)[-300:]]
        raise CompileError(
            f"{compiler} failed for {target.cpu}: {said[0].strip()}", stage="kernels", target=target.name
        ) from error
    return code, form, f"{compiler} {_version(compiler)}".strip()


def _modules(module: Any) -> Iterator[Any]:
    yield module
    for each in module.imports:
        yield from _modules(each)


def _version(compiler: str) -> str:
    if compiler != "nvcc":
        return installed("nvidia-cuda-nvrtc") or installed("nvidia-cuda-nvrtc-cu12") or ""
    done = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=False)  # noqa: S607
    found = re.search(r"release [\d.]+, V([\d.]+)", done.stdout)
    return found[1] if found else ""
