"""Applying the rules: the first that applies is taken; where none does, TVM's own order stays.

Whether a rule applies is asked before anything is changed. What a rule that applies can't do is a bug in the
rule, not an answer: it raises, unless somebody asks to be told of it and to go on with the next rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tvm import tirx

from modeldyno.compiler.loops.common import is_schedulable
from modeldyno.compiler.loops.marks import SCHEDULED
from modeldyno.compiler.loops.truths import truths_in_bytes
from modeldyno.compiler.rules.bands import winograd_applies, winograd_bands
from modeldyno.compiler.rules.generic import blocks_apply, per_block
from modeldyno.compiler.rules.grouped import grouped_walk, walk_applies
from modeldyno.compiler.rules.pooling import pool_applies, pool_window
from modeldyno.compiler.rules.rows import row_program, rows_apply
from modeldyno.compiler.rules.tile import register_tile, tile_applies
from modeldyno.compiler.subexpressions.formulas import Formulas
from modeldyno.compiler.subexpressions.registers import hold_in_registers
from modeldyno.compiler.subexpressions.share import share_stages, with_own_names
from modeldyno.compiler.targets.machine import Machine

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True)
class Rule:
    """A way to schedule functions. `applies` only looks; where it says yes, `schedule` gives the function."""

    applies: Callable[[tirx.PrimFunc, Machine], bool]
    schedule: Callable[[tirx.PrimFunc, Machine], tirx.PrimFunc]

    @property
    def name(self) -> str:
        """What the rule is called in messages."""
        return self.schedule.__name__


RULES: tuple[Rule, ...] = (
    Rule(tile_applies, register_tile),
    Rule(walk_applies, grouped_walk),
    Rule(winograd_applies, winograd_bands),
    Rule(rows_apply, row_program),
    Rule(pool_applies, pool_window),
    Rule(blocks_apply, per_block),
)

RULE = "dyno.rule"  # function attribute: which rule ordered its loops, for who reads a dump

# From the kernel's name, the rule's name and the error.
OnFailure = Callable[[str, str, Exception], None]


def schedule_all(mod: tvm.IRModule, machine: Machine, on_failure: OnFailure | None = None) -> tvm.IRModule:
    """Schedule every tensor program of the module.

    Where a rule fails that should have applied, its error is raised; with `on_failure`, that is called
    instead, and the next rule is asked.
    """
    return each_program(mod, lambda name, func: _schedule(func, name, machine, on_failure))


def each_program(
    mod: tvm.IRModule, change: Callable[[str, tirx.PrimFunc], tirx.PrimFunc], *, scheduled: bool = False
) -> tvm.IRModule:
    """Change every tensor program that rules can schedule; with `scheduled`, every one that they did."""
    changed = {
        name: change(name.name_hint, func)
        for name, func in mod.functions_items()
        if isinstance(func, tirx.PrimFunc)
        and (SCHEDULED in (func.attrs or {})) == scheduled
        and is_schedulable(func)
    }
    for name, func in changed.items():
        mod[name] = func
    return mod


def _schedule(
    func: tirx.PrimFunc, kernel: str, machine: Machine, on_failure: OnFailure | None
) -> tirx.PrimFunc:
    formulas = Formulas()
    func = share_stages(func, formulas)
    for rule in RULES:
        found = _answer(rule, func, kernel, machine, on_failure)
        if found is not None:
            found = with_own_names(hold_in_registers(truths_in_bytes(found), formulas))
            return found.with_attrs({**(func.attrs or {}), RULE: rule.name})
    return with_own_names(hold_in_registers(func, formulas))


def _answer(
    rule: Rule, func: tirx.PrimFunc, kernel: str, machine: Machine, on_failure: OnFailure | None
) -> tirx.PrimFunc | None:
    try:
        return rule.schedule(func, machine) if rule.applies(func, machine) else None
    except Exception as error:
        if on_failure is None:
            raise
        on_failure(kernel, rule.name, error)
    return None
