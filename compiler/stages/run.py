"""Running a list of stages: each is told of, timed and dumped, and its errors name it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import CompileError, DynoError
from modeldyno.base.files import write_text
from modeldyno.base.process.interrupts import watched_interrupts
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.model.tvm_words import reason
from modeldyno.compiler.stages.base import Context, Recipe, Stage, StageFacts, Weights
from modeldyno.compiler.stages.dump import dump_text
from modeldyno.compiler.stages.non_finite import non_finite
from modeldyno.compiler.stages.times import StageTimes
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.compiler.watch import Watch
from modeldyno.runtime.records.guards import Guard
from modeldyno.runtime.records.kernels import KernelFacts, NonFinite, PeakKernel, RuleFailure
from modeldyno.runtime.records.origin import StageTime

if TYPE_CHECKING:
    import tvm

    from modeldyno.compiler.kernels.choice import Chooser


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


def recipe_of(target: CompileTarget, *, tuned: bool = False) -> Recipe:
    """Give the list of stages for a target; `tuned`: with the one that measures kernels.

    Raises:
        ConfigError: what it needs is not installed.
    """
    # They import TVM: not before there is something to compile.
    if target.kind == "cuda":
        from modeldyno.compiler.stages.cuda import cuda_recipe

        return cuda_recipe()
    from modeldyno.compiler.stages import cpu

    return cpu.TUNED_CPU if tuned else cpu.CPU


def run_stages(
    source: Source,
    target: CompileTarget,
    *,
    watch: Watch | None = None,
    dump_dir: Path | None = None,
    chooser: Chooser | None = None,
    tune: Callable[[tvm.IRModule], None] | None = None,
) -> Built:
    """Run all stages in order.

    `chooser` says how each kernel is computed (default: by a count of cycles); `tune` is a stage of its own
    before it is asked, and sees the module that it will be asked about. `watch` is told of the stages, and of
    each kernel that a schedule rule failed on: the next rule takes it. Without a watch the stage fails.

    Raises:
        CompileError: a stage failed; names the stage and, where TVM names one, the operator.
        ConfigError: what the target's list of stages needs is not installed.
    """
    module: Any = None
    times = StageTimes()
    facts = StageFacts()
    with target.tvm_target(), watched_interrupts() as interrupts:

        def on_failure(kernel: str, rule: str, error: Exception) -> None:
            interrupts.raise_again()
            facts.rule_failures.append(_rule_failure(kernel, rule, error))
            if watch:
                watch.warn(_words(facts.rule_failures[-1]))

        context = Context(source, target, chooser, tune, on_failure if watch else None, facts)
        for number, stage in enumerate(recipe_of(target, tuned=tune is not None)):
            if watch:
                watch.stage(stage.name)
            with times.step(stage.name):
                module = _run_stage(stage, module, context)
            if dump_dir and stage.dump:
                write_text(dump_dir / f"{number:02d}_{stage.name}.py", dump_text(module))
    return _built(module, tuple(times), source, facts)


def _built(executable: Any, times: tuple[StageTime, ...], source: Source, facts: StageFacts) -> Built:
    return Built(
        executable,
        times,
        facts.weights,
        facts.kernels,
        facts.peak,
        tuple(facts.rule_failures),
        facts.guards,
        non_finite(source.model, facts.imported, facts.kernels),
    )


def _rule_failure(kernel: str, rule: str, error: Exception) -> RuleFailure:
    return RuleFailure(kernel=kernel, rule=rule, message=f"{type(error).__name__}: {reason(error, 200)}")


def _words(failure: RuleFailure) -> str:
    return (
        f"kernel {failure.kernel} is slower than it need be: schedule rule {failure.rule} failed "
        f"({failure.message}). That is a bug of modeldyno; results are not affected"
    )


def _run_stage(stage: Stage, module: Any, context: Context) -> Any:
    name = context.source.name if context.source else "the module"
    try:
        with warnings.catch_warnings():
            # Numbers that overflow while constants are folded do so in the source model too.
            warnings.simplefilter("ignore", RuntimeWarning)
            return stage.run(module, context)
    except DynoError:
        raise
    except Exception as error:
        # TVM and its front ends raise many kinds of errors: this is the one border where they become ours.
        why = reason(error)
        raise CompileError(
            f"{name}: stage {stage.name!r} failed for target {context.target.name}: {why}",
            hint="`dump_dir` names a folder for the module after each stage",
            stage=stage.name,
            target=context.target.name,
            operators=_operators(why),
        ) from error


def _operators(why: str) -> tuple[str, ...]:
    ours = r"\b(?:relax\.[\w.]+|[A-Z]\w+)(?= is not supported|\b not implemented)"
    torchs = r"\b(?:aten|prims)\.[\w.]+\w"
    return tuple(dict.fromkeys(re.findall(f"{ours}|{torchs}", why)))
