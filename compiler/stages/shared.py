"""The stages that every target's list has, and how a graph pass becomes a stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tvm import relax

from modeldyno.compiler.codegen.kernel_size import refuse_large
from modeldyno.compiler.graph.fold import fold, fold_batch_norm
from modeldyno.compiler.graph.rewrite import clean
from modeldyno.compiler.guards.guards import guards_of, place_guards
from modeldyno.compiler.kernels.facts import kernel_facts
from modeldyno.compiler.stages.base import Context, Stage
from modeldyno.compiler.stages.non_finite import operators_of

if TYPE_CHECKING:
    import tvm

    from modeldyno.compiler.targets.machine import Machine


def of_module(name: str, run: Callable[[tvm.IRModule], tvm.IRModule]) -> Stage:
    """Make a stage of a pass that needs the module alone."""
    return Stage(name, lambda module, _context: run(module))


def of_machine(name: str, run: Callable[[tvm.IRModule, Machine], tvm.IRModule]) -> Stage:
    """Make a stage of a pass that needs the module and the machine that it is compiled for."""
    return Stage(name, lambda module, context: run(module, context.target.machine))


def checked_size(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    """Refuse kernels that are too large for code to be made of: the last step of each stage `schedule`.

    Raises:
        CompileError: names the kernel.
    """
    refuse_large(module, context.source.name if context.source else "", context.target)
    return module


def _import(_module: Any, context: Context) -> tvm.IRModule:
    if context.source is None:
        raise ValueError("there is no model to import")
    module = context.source.import_relax()
    context.facts.imported = operators_of(module)
    return module


def _guard(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    guarded = place_guards(module)
    context.facts.guards = guards_of(guarded)
    return guarded


def _note_kernels(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    context.facts.kernels = kernel_facts(module)
    return module


IMPORT = Stage("import", _import)
GUARD = Stage("guard", _guard)
CANONICALIZE = of_module("canonicalize", clean)
FOLD_BATCH_NORM = of_module("fold_batch_norm", fold_batch_norm)
DECOMPOSE = of_module("decompose", relax.transform.DecomposeOpsForInference())
FOLD = of_module("fold", fold)
KERNEL_FACTS = Stage("kernel_facts", _note_kernels)
