"""Marks of the indices and divisors that are to be checked: what each may be, and what is said otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import tvm
from tvm import relax

from modeldyno.compiler.graph.fold import as_constant, constant
from modeldyno.compiler.graph.rewrite import op_name

_MARK = "dyno.guard"


@dataclass(frozen=True)
class Mark:
    """What an input of an operator may be: `low` to `high`, for each place of the last axis or for all.

    `size` is added to negative ones; empty where they are none of the source's. A divisor has no bounds.
    """

    operator: str
    node: str
    input: str
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    size: tuple[int, ...] = ()
    message: str = ""  # what is said instead of the number and the bounds
    when: tuple[bool, ...] = ()  # what the conditions of the branches that it stands in must be

    @property
    def name(self) -> str:
        """The operator and the input, for messages."""
        return f"{self.operator} {self.node!r}: its input {self.input!r}"


def index_mark(mark: Mark, sizes: Sequence[int], *, from_end: bool) -> Mark:
    """Give the mark of an index into axes of these sizes; `from_end`: negative ones count from there."""
    found = tuple(int(size) for size in sizes)
    if len(set(found)) == 1:
        found = found[:1]
    low = tuple(-size if from_end else 0 for size in found)
    return replace(mark, low=low, high=tuple(size - 1 for size in found), size=found if from_end else ())


def mark(x: relax.Expr, what: Mark, conditions: Sequence[relax.Expr] = ()) -> relax.Call:
    """Give `x` marked, as an expression that is still to be emitted."""
    told = replace(what, when=what.when)
    text = tvm.ir.StringImm(json.dumps(asdict(told)))
    return relax.call_pure_packed(_MARK, x, text, *conditions, ty_args=[x.ty])


def is_mark(expr: relax.Expr) -> bool:
    """Whether an expression is what `mark` gives."""
    return op_name(expr) == "relax.call_pure_packed" and expr.args[0].global_symbol == _MARK


def read_mark(text: str) -> Mark:
    """Give the mark that `mark` wrote into a module."""
    return Mark(**{key: _tuples(given) for key, given in json.loads(text).items()})


def checked_constant(x: relax.Expr, what: Mark) -> relax.Expr:
    """Give constant indices without negative ones, or a constant divisor as it is.

    Raises:
        NotImplementedError: one is out of range, or a divisor is 0.
    """
    fixed = constant(x)
    if fixed is None:
        raise ValueError(f"{what.name} is no constant")
    bad = (fixed < _each(what.low)) | (fixed > _each(what.high)) if what.low else fixed == 0
    if bad.any():
        takes = f"it takes {what.low[0]} to {what.high[0]}" if len(what.low) == 1 else "beyond its axis"
        raise NotImplementedError(
            f"{what.name} is a constant that holds {np.extract(bad, fixed)[0]}: "
            f"{takes if what.low else 'whole numbers cannot be divided by it'}"
        )
    if not what.size or not (fixed < 0).any():
        return x
    return as_constant(np.where(fixed < 0, fixed + _each(what.size), fixed).astype(fixed.dtype))


def _each(bounds: tuple[int, ...]) -> Any:
    return bounds[0] if len(bounds) == 1 else np.array(bounds)


def _tuples(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value
