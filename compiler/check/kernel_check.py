"""Which kernel is wrong: each on the model's own values against its unscheduled program, built without haste.

The reference is what a kernel was before its loops were ordered, compiled for the architecture's plainest
processor and hardly optimised: neither our schedules nor LLVM's vectorizers had a hand in it. Programs that
were written down loop by loop (attention) have no unscheduled form: of those it is seen only whether LLVM
made wrong code. What the graph passes and the front end did is in both, and not seen at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.check.sample_runs import first_feeds
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.model.tvm_words import reason
from modeldyno.compiler.options import DEFAULT_TOLERANCE
from modeldyno.compiler.targets.catalog import CompileTarget

if TYPE_CHECKING:
    from modeldyno.compiler.kernels.choice import Chooser

_PLAIN_CPU = {"x86_64": "x86-64-v2", "aarch64": "generic"}
_PLAIN_LEVEL = 1  # LLVM's -O1: no vectorizers, and not the minutes that -O0 would run


class UncheckedError(Exception):
    """The kernels of a model can't be run one by one: it has branches, or calls that are no kernels."""


@dataclass(frozen=True)
class KernelCheck:
    """One call of a kernel. `max_rel` as in parity, against its unscheduled program."""

    kernel: str
    call: int  # its number among all calls of an inference, from 0
    max_rel: float

    @property
    def wrong(self) -> bool:
        """Whether that is more than another order of the same sums can be."""
        return not self.max_rel <= DEFAULT_TOLERANCE


def check_kernels(
    source: Source, target: CompileTarget, *, seed: int, chooser: Chooser | None = None
) -> Iterator[KernelCheck]:
    """Run the kernels of a model in the order of their calls, and compare each with its reference.

    Every kernel gets what the references before it gave, so that an error does not go on.

    Raises:
        UncheckedError: the model's kernels can't be run one by one.
    """
    fused = _until_fused(source, target, chooser)
    feeds = first_feeds(source, seed)
    calls = list(_calls(fused["main"]))  # before anything is built: what can't be followed is told at once
    with target.tvm_target():
        found = _built(_programs(_scheduled(fused, target)), target.tvm_target())
    expected = _built(_programs(fused), _plain(target).tvm_target(_PLAIN_LEVEL))
    values = _Values(fused["main"], [feeds[spec.name] for spec in source.inputs])
    for number, (var, name, args, types) in enumerate(calls):
        given = [values.of(arg) for arg in args]
        wanted, got = (_run(built[name], given, types) for built in (expected, found))
        values.keep(var, wanted)
        yield KernelCheck(name, number, max(map(_difference, wanted, got), default=0.0))


def blame(source: Source, target: CompileTarget, *, seed: int, chooser: Chooser | None = None) -> str:
    """Say in a sentence which kernels are wrong, the first one first; or where else the cause must be."""
    try:
        checks = list(check_kernels(source, target, seed=seed, chooser=chooser))
    except UncheckedError as error:
        return f"The kernels could not be checked one by one: {error}"
    except Exception as error:  # what is looked for already is one error; a second must not take its place
        return f"The kernels could not be checked one by one: {type(error).__name__}: {reason(error)}"
    wrong = [check for check in checks if check.wrong]
    if wrong:
        names = list(dict.fromkeys(check.kernel for check in wrong))
        more = f"; {len(names) - 1} more kernels are: {', '.join(names[1:6])}" if names[1:] else ""
        return (
            f"The first wrong kernel is {wrong[0].kernel} (call {wrong[0].call + 1} of {len(checks)}): it "
            f"differs from its unscheduled program by {wrong[0].max_rel:.2e} of its largest value{more}"
        )
    worst = max(checks, key=lambda check: check.max_rel, default=None)
    if worst is None:
        return "The model has no kernels"
    return (
        f"Each of the {len(checks)} kernel calls agrees with its unscheduled program (the worst, "
        f"{worst.kernel}, to {worst.max_rel:.1e}): the cause lies before, in the front end, in a graph pass, "
        "or in the model's sensitivity to rounding"
    )


def _until_fused(source: Source, target: CompileTarget, chooser: Chooser | None) -> Any:
    from modeldyno.compiler.stages.base import Context
    from modeldyno.compiler.stages.run import recipe_of

    return recipe_of(target).until("fuse").apply(None, Context(source, target, chooser))


def _scheduled(fused: Any, target: CompileTarget) -> Any:
    from modeldyno.compiler.rules.apply import schedule_all

    # As in a user's compile, a rule that fails leaves the kernel to the next one.
    return schedule_all(fused.clone(), target.machine, lambda *_: None)


def _plain(target: CompileTarget) -> CompileTarget:
    return replace(target, cpu=_PLAIN_CPU[target.architecture], attributes=())


def _programs(module: Any) -> Any:
    import tvm
    from tvm import tirx

    return tvm.IRModule(
        {
            name.name_hint: func.with_attr("global_symbol", name.name_hint)
            for name, func in module.functions_items()
            if isinstance(func, tirx.PrimFunc)
        }
    )


def _built(programs: Any, target: Any) -> Any:
    import tvm

    from modeldyno.compiler.codegen.llvm import register

    with target:
        return tvm.tirx.build(programs, target=target, pipeline=register())


def _calls(main: Any) -> Iterator[tuple[Any, str, list[Any], list[Any]]]:
    """Give each call: the variable bound, the kernel's name, arguments, and types of what it writes."""
    from tvm import relax

    if not isinstance(main.body, relax.SeqExpr):
        raise UncheckedError("main is no straight line")
    for block in main.body.blocks:
        for binding in block.bindings:
            value = getattr(binding, "value", None)
            if not isinstance(value, relax.Call):
                continue
            if getattr(value.op, "name", "") != "relax.call_tir" or len(value.args) > 2:
                raise UncheckedError(f"{getattr(value.op, 'name', value.op)} is no kernel of fixed shape")
            types = list(value.ty.fields) if isinstance(value.ty, relax.TupleType) else [value.ty]
            yield binding.var, value.args[0].name_hint, list(value.args[1].fields), types


class _Values:
    """What the variables of `main` stand for: a tensor, or a list of several."""

    def __init__(self, main: Any, feeds: list[Array]) -> None:
        import tvm

        self._known: dict[Any, Any] = {
            param: tvm.runtime.tensor(value) for param, value in zip(main.params, feeds, strict=True)
        }
        self._bound = {binding.var: binding.value for block in main.body.blocks for binding in block.bindings}

    def keep(self, var: Any, tensors: list[Any]) -> None:
        """Note what a call gave."""
        self._known[var] = tensors[0] if len(tensors) == 1 else tensors

    def of(self, expr: Any) -> Any:
        """Give the tensor of an expression."""
        import tvm
        from tvm import relax

        if isinstance(expr, tvm.ir.GenericConst):
            return expr.value
        if isinstance(expr, relax.TupleGetItem):
            return self.of(expr.tuple_value)[expr.index]
        if isinstance(expr, relax.Tuple):
            return [self.of(field) for field in expr.fields]
        if expr in self._known:
            return self._known[expr]
        if expr in self._bound:
            return self.of(self._bound[expr])
        raise UncheckedError(f"{type(expr).__name__} is no tensor that a kernel made")


def _run(kernel: Any, given: list[Any], types: list[Any]) -> list[Any]:
    import numpy as np
    import tvm

    made = [
        tvm.runtime.tensor(np.zeros(tuple(int(size) for size in ty.shape), str(ty.dtype))) for ty in types
    ]
    kernel(*given, *made)
    return made


def _difference(wanted: Any, got: Any) -> float:
    return compare("", wanted.numpy(), got.numpy()).max_rel
