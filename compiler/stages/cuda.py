"""GPU code: the stages that make kernels with TVM's own rules for GPUs (dlight), and their machine code.

No GPU is needed to compile. TVM writes CUDA C, and NVIDIA's compiler turns it into a cubin for one
architecture, which lies beside the artifact's library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import CompileError, ConfigError
from modeldyno.compiler.codegen.cubin import read_cubin
from modeldyno.compiler.codegen.cuda_compilers import compile_cuda, compiler_name, cuda_compiler, why_no_cuda
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.targets.catalog import CompileTarget

if TYPE_CHECKING:
    from modeldyno.compiler.stages.cpu import Stage

_SHARED_STAGES = ("import", "guard", "canonicalize", "fold_batch_norm", "decompose", "fold")
_KERNEL = re.compile(r"__global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\([^)]*\) \{")
_WARP, _SUMMED = 32, 2  # threads; the kind of an axis that is summed over


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

    from modeldyno.compiler.lower.extremes import extreme_kernels
    from modeldyno.compiler.lower.take import plain_take

    passes = [
        relax.transform.LegalizeOps({**extreme_kernels(lanes=0), "relax.take": plain_take}),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(["main"]),
    ]
    from modeldyno.compiler.codegen.llvm import with_short_kernels

    with with_short_kernels():
        return tvm.transform.Sequential(passes)(module)


def _schedule(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from tvm.s_tir import dlight

    from modeldyno.compiler.rules.apply import each_program
    from modeldyno.compiler.subexpressions.formulas import Formulas
    from modeldyno.compiler.subexpressions.registers import hold_in_registers
    from modeldyno.compiler.subexpressions.share import share_stages, with_own_names

    rules = [rule() for rule in (dlight.gpu.Matmul, dlight.gpu.GEMV)]
    shared = [_LongSums(rule()) for rule in (dlight.gpu.Reduction, dlight.gpu.GeneralReduction)]
    formulas = Formulas()
    module = each_program(module, lambda _name, func: share_stages(func, formulas))
    module = dlight.ApplyDefaultSchedule(*rules, *shared, dlight.gpu.Fallback())(module)
    return each_program(
        module, lambda _name, func: with_own_names(hold_in_registers(func, formulas)), scheduled=True
    )


class _LongSums:
    """A rule of dlight's, for sums that keep a warp busy.

    These rules give each element of the output a block of threads, also where its sum has nine terms (a
    depthwise convolution, 3x3): 247 of 256 threads idle. The next rule gives it one thread.
    """

    def __init__(self, rule: Any) -> None:
        self._rule = rule

    def apply(self, func: Any, target: Any, tunable: bool) -> Any:
        """Answer as the rule does; None for a function of short sums alone."""
        return self._rule.apply(func, target, tunable) if _longest_sum(func) >= _WARP else None


def _longest_sum(func: Any) -> int:
    """Terms of the longest sum (or maximum, …) in a function; 1 without any."""
    import tvm_ffi
    from tvm import s_tir

    terms = [1]

    def visit(block: Any) -> None:
        summed = [axis.dom.extent for axis in block.iter_vars if int(axis.iter_type) == _SUMMED]
        terms.append(math.prod(int(extent) for extent in summed))

    tvm_ffi.structural_walk(func.body, [(s_tir.SBlock, visit)], order="post")
    return max(terms)


def _generate(module: Any, _source: Source, target: CompileTarget) -> Any:
    from tvm import relax

    return relax.build(module, target.tvm_target())


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
