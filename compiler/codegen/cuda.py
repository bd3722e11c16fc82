"""The machine code of GPU kernels: a cubin of the CUDA C that TVM writes, beside the artifact's library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from modeldyno.base.errors import CompileError
from modeldyno.compiler.codegen.cubin import read_cubin
from modeldyno.compiler.codegen.cuda_compilers import compile_cuda, compiler_name, cuda_compiler
from modeldyno.compiler.targets.catalog import CompileTarget

_KERNEL = re.compile(r"__global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\([^)]*\) \{")


def compile_kernels(source: str, target: CompileTarget) -> tuple[bytes, str]:
    """Turn the CUDA C of an executable into the GPU's machine code, a cubin; give it, and what made it.

    TVM leaves this to the machine that loads the library; it should need no compiler.

    Raises:
        CompileError: NVIDIA's compiler failed, or the cubin is not what was asked for.
    """
    compiler = cuda_compiler() or ""
    try:
        code = compile_cuda(source, target.cpu, compiler)
        found = read_cubin(code)
    except (RuntimeError, ValueError, OSError) as error:
        said = [line for line in str(error).splitlines() if "error" in line.lower()] or [str(error)[-300:]]
        raise _failed(f"{compiler} failed for {target.cpu}: {said[0].strip()}", target) from error
    if f"sm_{found.architecture}" != target.cpu:
        raise _failed(f"{compiler} made code for sm_{found.architecture}, not {target.cpu}", target)
    if found.missing or found.kernels != kernel_names(source):
        wrong = sorted(found.missing | (found.kernels ^ kernel_names(source)))
        raise _failed(f"{compiler}'s code lacks, or has unasked: {', '.join(wrong)}", target)
    return code, compiler_name(compiler)


def cuda_source(executable: Any, target: CompileTarget) -> str:
    """Give the CUDA C of an executable.

    Raises:
        CompileError: there are no kernels.
    """
    sources = [found.inspect_source("cuda") for found in _modules(executable.mod) if found.kind == "cuda"]
    if len(sources) != 1:
        raise _failed("no operator of this model became a GPU kernel", target)
    return str(sources[0])


def kernel_names(source: str) -> set[str]:
    """Give the names of the kernels in CUDA C."""
    return set(_KERNEL.findall(source))


def _failed(text: str, target: CompileTarget) -> CompileError:
    return CompileError(text, stage="kernels", target=target.name)


def _modules(module: Any) -> Iterator[Any]:
    yield module
    for each in module.imports:
        yield from _modules(each)
