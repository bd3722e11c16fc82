"""The list of stages for processors."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from modeldyno.compiler.codegen.llvm import register, with_short_kernels
from modeldyno.compiler.graph.attention import fuse_attention
from modeldyno.compiler.graph.fold import fold
from modeldyno.compiler.graph.layout import channels_last
from modeldyno.compiler.graph.lrn import rewrite_lrn
from modeldyno.compiler.graph.norms import fuse_norms
from modeldyno.compiler.graph.pad import fold_padding
from modeldyno.compiler.graph.reshape_convs import reshape_convs
from modeldyno.compiler.graph.sorting import total_orders
from modeldyno.compiler.graph.views import sink_reshapes
from modeldyno.compiler.kernels.choice import choose
from modeldyno.compiler.kernels.facts import settled_facts
from modeldyno.compiler.lower.attention import lower_attention
from modeldyno.compiler.lower.backward import keep_backward_apart
from modeldyno.compiler.lower.legalize import legalize
from modeldyno.compiler.lower.products import lower_products
from modeldyno.compiler.lower.rest import lower_rest
from modeldyno.compiler.memory.peak import with_peak
from modeldyno.compiler.memory.planning import is_planned, plan_memory
from modeldyno.compiler.rules.apply import schedule_all
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
    of_machine,
    of_module,
)


def _decompose(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    return total_orders(DECOMPOSE.run(module, context))


def _tune(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    if context.tuner is not None:
        context.tuner(module)
    return module


def _legalize(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    return legalize(module, context.target.machine, chooser=context.chooser or choose)


def _fuse(module: tvm.IRModule) -> tvm.IRModule:
    apart = keep_backward_apart(relax.transform.AnnotateTIROpPattern()(module))
    passes = [relax.transform.FuseOps(), relax.transform.FuseTIR()]
    with with_short_kernels():
        return tvm.transform.Sequential([*passes, relax.transform.DeadCodeElimination(["main"])])(apart)


def _schedule(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    scheduled = schedule_all(module, context.target.machine, context.on_failure)
    return checked_size(scheduled, context)


def _add_peak(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    extended, context.facts.peak = with_peak(module, context.target.machine)
    return extended


def _plan_memory(module: tvm.IRModule, context: Context) -> tvm.IRModule:
    planned, facts = plan_memory(module), context.facts
    facts.weights = planned.weights
    if planned.renamed and facts.kernels:
        facts.kernels = settled_facts(facts.kernels, planned.renamed, planned.module["main"])
    return planned.module


def _generate(module: tvm.IRModule, context: Context) -> Any:
    lowering = None if is_planned(module) else "default"
    return relax.build(module, context.target.tvm_target(), relax_pipeline=lowering, tir_pipeline=register())


_GRAPH = (
    IMPORT,
    GUARD,
    CANONICALIZE,
    of_module("reshape_convs", lambda module: reshape_convs(rewrite_lrn(fold(module)))),
    FOLD_BATCH_NORM,
    Stage("decompose", _decompose),
    FOLD,
    of_module("fuse_norms", fuse_norms),
    of_module("fuse_attention", fuse_attention),
    of_module("fold_padding", fold_padding),
    of_module("channels_last", channels_last),
    of_module("fold_layout", fold),
    of_module("sink_reshapes", sink_reshapes),
    of_machine("lower_attention", lower_attention),
    of_machine("lower_products", lower_products),
)
_KERNELS = (
    Stage("legalize", _legalize),
    of_module("lower_rest", lower_rest),
    of_module("fuse", _fuse),
    KERNEL_FACTS,
    Stage("schedule", _schedule),
    Stage("peak", _add_peak),
    Stage("plan_memory", _plan_memory),
    Stage("generate", _generate, dump=False),
)
CPU = Recipe((*_GRAPH, *_KERNELS))
TUNED_CPU = Recipe((*_GRAPH, Stage("tune", _tune), *_KERNELS))
