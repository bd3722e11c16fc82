"""What a stage of a compile is, what all stages of one compile share, and how a list of them is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from modeldyno.compiler.model.source import Source
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.runtime.records.guards import Guard
from modeldyno.runtime.records.kernels import KernelFacts, PeakKernel, RuleFailure

if TYPE_CHECKING:
    import tvm

    from modeldyno.compiler.kernels.choice import Chooser
    from modeldyno.compiler.rules.apply import OnFailure

Weights = tuple[npt.NDArray[Any], ...]


@dataclass
class StageFacts:
    """What the stages note of a compile, beside the module that each gives.

    `imported` names the operators of the model as it was imported. `weights` is None where the executable
    holds them itself.
    """

    imported: frozenset[str] = frozenset()
    guards: tuple[Guard, ...] = ()
    kernels: tuple[KernelFacts, ...] = ()
    peak: PeakKernel | None = None
    weights: Weights | None = None
    rule_failures: list[RuleFailure] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """What the stages of one compile share.

    `source` is None where the list of stages begins behind the import. `chooser` says how each kernel is
    computed (None: by a count of cycles). `tuner` measures kernels of the module that the chooser will be
    asked about. `on_failure` is told of each kernel that a schedule rule failed on, and the next rule takes
    it; without it the stage fails.
    """

    source: Source | None
    target: CompileTarget
    chooser: Chooser | None = None
    tuner: Callable[[tvm.IRModule], None] | None = None
    on_failure: OnFailure | None = None
    facts: StageFacts = field(default_factory=StageFacts)


@dataclass(frozen=True)
class Stage:
    """One step of a compile, from a module to the next; `dump`: what it gives is a module, and not code."""

    name: str
    run: Callable[[tvm.IRModule, Context], Any]
    dump: bool = True


@dataclass(frozen=True)
class Recipe:
    """A list of stages, in order; no stage calls the next."""

    stages: tuple[Stage, ...]

    def __iter__(self) -> Iterator[Stage]:
        """Give the stages in order."""
        return iter(self.stages)

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names, in order."""
        return tuple(stage.name for stage in self.stages)

    def until(self, last: str) -> Recipe:
        """Give the stages up to `last`, with it."""
        return Recipe(self.stages[: self.names.index(last) + 1])

    def after(self, first: str) -> Recipe:
        """Give the stages behind `first`."""
        return Recipe(self.stages[self.names.index(first) + 1 :])

    def between(self, first: str, last: str) -> Recipe:
        """Give the stages from `first` to `last`, with both."""
        return Recipe(self.until(last).stages[self.names.index(first) :])

    def apply(self, module: Any, context: Context) -> Any:
        """Run the stages on a module, or on None before an import, without times and dumps."""
        with context.target.tvm_target():
            for stage in self.stages:
                module = stage.run(module, context)
        return module
