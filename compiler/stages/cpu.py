"""The order of the stages: one flat list of (name, stage); no stage calls the next."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from modeldyno.base.errors import CompileError, DynoError
from modeldyno.base.files import write_text
from modeldyno.base.process.interrupts import watched_interrupts
from modeldyno.compiler.check.non_finite import non_finite, operators_of
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.model.tvm_words import reason
from modeldyno.compiler.stages.dump import dump_text
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.runtime.records.guards import Guard
from modeldyno.runtime.records.manifest import KernelFacts, NonFinite, PeakKernel, RuleFailure, StageTime

if TYPE_CHECKING:
    from modeldyno.compiler.kernels.choice import Chooser
    from modeldyno.compiler.memory.planning import Planned
    from modeldyno.compiler.rules.apply import OnFailure

Stage = Callable[..., Any]
OnStage = Callable[[str], None]
Weights = tuple[npt.NDArray[Any], ...]


def _import(_module: Any, source: Source, _target: CompileTarget) -> Any:
    return source.import_relax()


def _guard(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.guards.guards import place_guards

    return place_guards(module)


def _canonicalize(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.rewrite import clean

    return clean(module)


def _reshape_convs(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.fold import fold
    from modeldyno.compiler.graph.lrn import rewrite_lrn
    from modeldyno.compiler.graph.reshape_convs import reshape_convs

    return reshape_convs(rewrite_lrn(fold(module)))


def _fold_batch_norm(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.fold import fold_batch_norm

    return fold_batch_norm(module)


def _decompose(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from tvm import relax

    return relax.transform.DecomposeOpsForInference()(module)


def _fold(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.fold import fold

    return fold(module)


def _fuse_norms(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.norms import fuse_norms

    return fuse_norms(module)


def _fuse_attention(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.attention import fuse_attention

    return fuse_attention(module)


def _fold_padding(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.pad import fold_padding

    return fold_padding(module)


def _channels_last(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.layout import channels_last

    return channels_last(module)


def _sink_reshapes(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.graph.views import sink_reshapes

    return sink_reshapes(module)


def _lower_attention(module: Any, _source: Source, target: CompileTarget) -> Any:
    from modeldyno.compiler.lower.attention import lower_attention

    return lower_attention(module, target.machine)


def _lower_products(module: Any, _source: Source, target: CompileTarget) -> Any:
    from modeldyno.compiler.lower.products import lower_products

    return lower_products(module, target.machine)


def _legalize(module: Any, _source: Source, target: CompileTarget, chooser: Chooser | None = None) -> Any:
    from modeldyno.compiler.lower.legalize import legalize

    return legalize(module, target.machine, **({"chooser": chooser} if chooser else {}))


def _lower_rest(module: Any, _source: Source, _target: CompileTarget) -> Any:
    from modeldyno.compiler.lower.rest import lower_rest

    return lower_rest(module)


def _fuse(module: Any, _source: Source, _target: CompileTarget) -> Any:
    import tvm
    from tvm import relax

    from modeldyno.compiler.codegen.llvm import with_short_kernels

    passes = [relax.transform.AnnotateTIROpPattern(), relax.transform.FuseOps(), relax.transform.FuseTIR()]
    with with_short_kernels():
        return tvm.transform.Sequential([*passes, relax.transform.DeadCodeElimination(["main"])])(module)


def _schedule(
    module: Any, _source: Source, target: CompileTarget, on_failure: OnFailure | None = None
) -> Any:
    from modeldyno.compiler.rules.apply import schedule_all

    return schedule_all(module, target.machine, on_failure)


def _generate(module: Any, _source: Source, target: CompileTarget) -> Any:
    from tvm import relax

    from modeldyno.compiler.codegen.llvm import register
    from modeldyno.compiler.memory.planning import is_planned

    lowering = None if is_planned(module) else "default"
    return relax.build(module, target.tvm_target(), relax_pipeline=lowering, tir_pipeline=register())


STAGES: tuple[tuple[str, Stage], ...] = (
    ("import", _import),
    ("guard", _guard),
    ("canonicalize", _canonicalize),
    ("reshape_convs", _reshape_convs),
    ("fold_batch_norm", _fold_batch_norm),
    ("decompose", _decompose),
    ("fold", _fold),
    ("fuse_norms", _fuse_norms),
    ("fuse_attention", _fuse_attention),
    ("fold_padding", _fold_padding),
    ("channels_last", _channels_last),
    ("fold_layout", _fold),
    ("sink_reshapes", _sink_reshapes),
    ("lower_attention", _lower_attention),
    ("lower_products", _lower_products),
    ("legalize", _legalize),
    ("lower_rest", _lower_rest),
    ("fuse", _fuse),
    ("schedule", _schedule),
    ("generate", _generate),
)


@dataclass(frozen=True)
class Built:
    """What the stages made: TVM's executable, the weights that it takes (None where it holds them itself),
    the seconds of each stage, and what `dyno profile` goes by.
    """

    executable: Any
    stages: tuple[StageTime, ...]
    weights: Weights | None = None
    kernels: tuple[KernelFacts, ...] = ()
    peak: PeakKernel | None = None
    rule_failures: tuple[RuleFailure, ...] = ()
    guards: tuple[Guard, ...] = ()
    non_finite: tuple[NonFinite, ...] = ()


def run_stages(
    source: Source,
    target: CompileTarget,
    *,
    on_stage: OnStage | None = None,
    dump_dir: Path | None = None,
    chooser: Chooser | None = None,
    tune: Callable[[Any], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Built:
    """Run all stages in order.

    `chooser` says how each kernel is computed (default: by a count of cycles); `tune` is a stage of its own
    before it is asked, and sees the module that it will be asked about. `warn` is told of each kernel that a
    schedule rule failed on, and the next rule takes it; without it the stage fails.

    Raises:
        CompileError: a stage failed; names the stage and, where TVM names one, the operator.
    """
    module: Any = None
    times = []
    kernels: tuple[KernelFacts, ...] = ()
    peak = None
    weights: Weights | None = None
    failures: list[RuleFailure] = []
    guards: tuple[Guard, ...] = ()
    imported: frozenset[str] = frozenset()
    with target.tvm_target(), watched_interrupts() as interrupts:

        def on_failure(kernel: str, rule: str, error: Exception) -> None:
            interrupts.raise_again()
            failures.append(_rule_failure(kernel, rule, error))
            if warn:
                warn(_words(failures[-1]))

        stages = _stages(target, chooser, tune, on_failure if warn else None)
        for number, (name, stage) in enumerate(stages):
            if on_stage:
                on_stage(name)
            if name == "schedule":
                kernels = _run_stage(name, _kernel_facts, module, source, target)
            if name == "generate" and target.kind == "llvm":
                module, peak = _run_stage(name, _with_peak, module, source, target)
                planned = _run_stage(name, _plan_memory, module, source, target)
                module, weights = planned.module, planned.weights
                kernels = _settled(kernels, planned)
            began = time.perf_counter()
            module = _run_stage(name, stage, module, source, target)
            if name == "schedule":
                _run_stage(name, _refuse_large, module, source, target)
            times.append(StageTime(stage=name, seconds=round(time.perf_counter() - began, 4)))
            if name == "import":
                imported = operators_of(module)
            if name == "guard":
                guards = _guards(module)
            _dump(dump_dir, f"{number:02d}_{name}.py", module)
    differing = non_finite(source.model, imported, kernels)
    return Built(module, tuple(times), weights, kernels, peak, tuple(failures), guards, differing)


def _dump(folder: Path | None, name: str, module: Any) -> None:
    if folder and hasattr(module, "script"):
        write_text(folder / name, dump_text(module))


def _rule_failure(kernel: str, rule: str, error: Exception) -> RuleFailure:
    return RuleFailure(kernel=kernel, rule=rule, message=f"{type(error).__name__}: {reason(error, 200)}")


def _words(failure: RuleFailure) -> str:
    return (
        f"kernel {failure.kernel} is slower than it need be: schedule rule {failure.rule} failed "
        f"({failure.message}). That is a bug of modeldyno; results are not affected"
    )


def _stages(
    target: CompileTarget,
    chooser: Chooser | None,
    tune: Callable[[Any], None] | None,
    on_failure: OnFailure | None,
) -> list[tuple[str, Stage]]:
    if target.kind == "cuda":
        from modeldyno.compiler.stages.cuda import cuda_stages

        return cuda_stages(STAGES)
    stages: list[tuple[str, Stage]] = []
    for name, stage in STAGES:
        if name == "legalize" and tune is not None:
            stages.append(("tune", partial(_tune, tune=tune)))
        stages.append((name, with_options(name, stage, chooser, on_failure)))
    return stages


def with_options(
    name: str, stage: Stage, chooser: Chooser | None, on_failure: OnFailure | None = None
) -> Stage:
    """Give the stage of this name what it takes of a compile's own choices."""
    if name == "legalize" and chooser:
        return partial(stage, chooser=chooser)
    if name == "schedule" and on_failure:
        return partial(stage, on_failure=on_failure)
    return stage


def _tune(module: Any, _source: Source, _target: CompileTarget, tune: Callable[[Any], None]) -> Any:
    tune(module)
    return module


def _kernel_facts(module: Any, _source: Source, _target: CompileTarget) -> tuple[KernelFacts, ...]:
    from modeldyno.compiler.kernels.facts import kernel_facts

    return kernel_facts(module)


def _refuse_large(module: Any, source: Source, target: CompileTarget) -> None:
    from modeldyno.compiler.codegen.kernel_size import refuse_large

    refuse_large(module, source, target)


def _with_peak(module: Any, _source: Source, target: CompileTarget) -> tuple[Any, PeakKernel | None]:
    from modeldyno.compiler.memory.peak import with_peak

    return with_peak(module, target.machine)


def _plan_memory(module: Any, _source: Source, _target: CompileTarget) -> Planned:
    from modeldyno.compiler.memory.planning import plan_memory

    return plan_memory(module)


def _guards(module: Any) -> tuple[Guard, ...]:
    from modeldyno.compiler.guards.guards import guards_of

    return guards_of(module)


def _settled(kernels: tuple[KernelFacts, ...], planned: Planned) -> tuple[KernelFacts, ...]:
    from modeldyno.compiler.kernels.facts import settled_facts

    if not planned.renamed:
        return kernels
    return settled_facts(kernels, planned.renamed, planned.module["main"])


def _run_stage(name: str, stage: Stage, module: Any, source: Source, target: CompileTarget) -> Any:
    try:
        with warnings.catch_warnings():
            # Numbers that overflow while constants are folded do so in the source model too.
            warnings.simplefilter("ignore", RuntimeWarning)
            return stage(module, source, target)
    except DynoError:
        raise
    except Exception as error:
        # TVM and its front ends raise many kinds of errors: this is the one border where they become ours.
        why = reason(error)
        raise CompileError(
            f"{source.name}: stage {name!r} failed for target {target.name}: {why}",
            hint="`dump_dir` names a folder for the module after each stage",
            stage=name,
            target=target.name,
            operators=_operators(why),
        ) from error


def _operators(why: str) -> tuple[str, ...]:
    import re

    ours = r"\b(?:relax\.[\w.]+|[A-Z]\w+)(?= is not supported|\b not implemented)"
    torchs = r"\b(?:aten|prims)\.[\w.]+\w"
    return tuple(dict.fromkeys(re.findall(f"{ours}|{torchs}", why)))
