"""The list of stages for NVIDIA's GPUs, which makes kernels with TVM's own rules for them (dlight).

No GPU is needed to compile. TVM writes CUDA C, and `codegen.cuda` turns it into machine code.
"""

from __future__ import annotations

import math
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, s_tir
from tvm.s_tir import dlight

from modeldyno.base.errors import ConfigError
from modeldyno.compiler.codegen.cuda_compilers import why_no_cuda
from modeldyno.compiler.codegen.llvm import with_short_kernels
from modeldyno.compiler.lower.backward import keep_backward_apart
from modeldyno.compiler.lower.extremes import extreme_kernels
from modeldyno.compiler.lower.take import plain_take
from modeldyno.compiler.rules.apply import each_program
from modeldyno.compiler.stages.base import Context, Recipe, Stage
from modeldyno.compiler.stages.shared import (
    CANONICALIZE,
    DECOMPOSE,
    FOLD,
    FOLD_BATCH_NORM,
    GUARD,
    IMPORT,
    KERNEL_FACTS,
    checked_size,
    of_module,
)
from modeldyno.compiler.subexpressions.formulas import Formulas
from modeldyno.compiler.subexpressions.registers import hold_in_registers
from modeldyno.compiler.subexpressions.share import share_stages, with_own_names

_WARP, _SUMMED = 32, 2  # threads; the kind of an axis that is summed over


def _fuse(module: tvm.IRModule) -> tvm.IRModule:
    kernels = [
        relax.transform.LegalizeOps({**extreme_kernels(lanes=0), "relax.take": plain_take}),
        relax.transform.AnnotateTIROpPattern(),
    ]
    passes = [
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(["main"]),
    ]
    with with_short_kernels():
        apart = keep_backward_apart(tvm.transform.Sequential(kernels)(module))
        return tvm.transform.Sequential(passes)(apart)


def _schedule(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    rules = [rule() for rule in (dlight.gpu.Matmul, dlight.gpu.GEMV)]
    shared = [_LongSums(rule()) for rule in (dlight.gpu.Reduction, dlight.gpu.GeneralReduction)]
    formulas = Formulas()
    module = each_program(module, lambda _name, func: share_stages(func, formulas))
    module = dlight.ApplyDefaultSchedule(*rules, *shared, dlight.gpu.Fallback())(module)
    scheduled = each_program(
        module, lambda _name, func: with_own_names(hold_in_registers(func, formulas)), scheduled=True
    )
    return checked_size(scheduled, context)


def _generate(module: tvm.IRModule, context: Context) -> Any:
    return relax.build(module, context.target.tvm_target())


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
    terms = [1]

    def visit(block: Any) -> None:
        summed = [axis.dom.extent for axis in block.iter_vars if int(axis.iter_type) == _SUMMED]
        terms.append(math.prod(int(extent) for extent in summed))

    tvm_ffi.structural_walk(func.body, [(s_tir.SBlock, visit)], order="post")
    return max(terms)


CUDA = Recipe(
    (
        IMPORT,
        GUARD,
        CANONICALIZE,
        FOLD_BATCH_NORM,
        DECOMPOSE,
        FOLD,
        of_module("fuse", _fuse),
        KERNEL_FACTS,
        Stage("schedule", _schedule),
        Stage("generate", _generate, dump=False),
    )
)


def cuda_recipe() -> Recipe:
    """Give the list of stages.

    Raises:
        ConfigError: there is no CUDA compiler, which the list is of no use without.
    """
    if missing := why_no_cuda():
        raise ConfigError(missing)
    return CUDA
