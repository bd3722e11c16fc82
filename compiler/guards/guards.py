"""Indices and divisors that a request brings are checked before compiled code goes by them.

Front ends mark the inputs that are to be checked (`mark`), since they alone know the operator's name and
what a negative index means. This pass puts a kernel in the place of each mark that is not known to be
harmless: it gives the numbers with 0 (1 for a divisor) for each that is out of range, and a word, which
`runtime.records.guards` reads. The words go from guard to guard, so that the first that failed is told, and
the last is the last result of `main`. What indexes or divides without a mark is given one here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tvm import relax

from modeldyno.compiler.guards.marks import is_mark
from modeldyno.compiler.guards.operators import divides_whole_numbers, index_inputs, sizes_a_result
from modeldyno.compiler.guards.placing import ATTRIBUTE, Placing
from modeldyno.runtime.records.guards import Guard

if TYPE_CHECKING:
    import tvm


def guards_of(mod: tvm.IRModule) -> tuple[Guard, ...]:
    """Give the guards that were placed in a module."""
    text = (mod["main"].attrs or {}).get(ATTRIBUTE)
    return tuple(Guard(**json.loads(each)) for each in text) if text is not None else ()


def place_guards(mod: tvm.IRModule) -> tvm.IRModule:
    """Put a guard before whatever indexes or divides by numbers that a request brings.

    Raises:
        NotImplementedError: such an operator stands where its guard could not be heard, or its constants are
            out of range.
    """
    functions = [(name, func) for name, func in mod.functions_items() if isinstance(func, relax.Function)]
    asking = [name.name_hint for name, func in functions if _asks(func)]
    if not asking:
        return mod
    if asking != ["main"]:
        raise NotImplementedError(
            "an index or a divisor in a function of its own (a branch) can't be checked"
        )
    return Placing(mod).module()


def _asks(func: relax.Function) -> bool:
    found = []

    def visit(expr: relax.Expr) -> None:
        if is_mark(expr) or index_inputs(expr) or divides_whole_numbers(expr) or sizes_a_result(expr):
            found.append(expr)

    relax.analysis.post_order_visit(func, visit)
    return bool(found)
