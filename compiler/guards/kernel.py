"""The kernel that looks at indices or divisors before another goes by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import te, tirx

from modeldyno.runtime.records.guards import WORD

_INT32_ELEMENTS = 1 << 31


def guard_kernel(
    low: Sequence[int], high: Sequence[int], size: Sequence[int], number: int, wanted: Sequence[bool]
) -> Callable[..., Any]:
    """Give the definition of a guard: of the numbers, the word before it if any, and the conditions.

    It computes the numbers that may be gone by, and the word. `low`, `high` and `size` are for each place of
    the last axis or for all (none: a divisor); `number` is the guard's, from 1. Where the conditions are not
    what is `wanted`, nothing is told.
    """

    def kernel(x: te.Tensor, *rest: te.Tensor) -> list[te.Tensor]:
        before, conditions = rest[: len(rest) - len(wanted)], rest[len(rest) - len(wanted) :]
        shape, numbers = list(x.shape), _Numbers(str(x.dtype), tuple(low), tuple(high), tuple(size))
        kind = "int32" if _known_size(shape) < _INT32_ELEMENTS else "int64"
        count = _count(shape, kind)
        safe = te.compute(x.shape, lambda *at: numbers.safe(x(*at), at), name="safe")
        first = _first_bad(x, shape, numbers, kind)
        told = _asked(conditions, wanted, tirx.LT(first(0), count))
        element = tirx.Min(first(0), count - tirx.const(1, kind))
        found = [
            tirx.const(number, "int64"),
            tirx.Cast("int64", element),
            tirx.Cast("int64", x(*_unravelled(element, shape, kind))),
        ]
        nothing = tirx.const(0, "int64")

        def entry(at: tirx.Var) -> tirx.Expr:
            mine = found[-1]
            for place in reversed(range(WORD - 1)):
                mine = tirx.Select(tirx.EQ(at, tirx.const(place, at.ty)), found[place], mine)
            mine = tirx.Select(told, mine, nothing)
            return tirx.Select(tirx.NE(before[0](0), nothing), before[0](at), mine) if before else mine

        return [safe, te.compute((WORD,), entry, name="word")]

    return kernel


@dataclass(frozen=True)
class _Numbers:
    """What the numbers of one type may be."""

    dtype: str
    low: tuple[int, ...]
    high: tuple[int, ...]
    size: tuple[int, ...]

    def bad(self, value: tirx.Expr, at: Sequence[tirx.Var]) -> tirx.Expr:
        """Whether a number must not be gone by; a NaN must not."""
        if not self.low:
            return tirx.EQ(value, tirx.const(0, self.dtype))
        lowest, highest = self._bound(self.low, at), self._bound(self.high, at)
        return tirx.Not(tirx.And(tirx.GE(value, lowest), tirx.LE(value, highest)))

    def safe(self, value: tirx.Expr, at: Sequence[tirx.Var]) -> tirx.Expr:
        """Give the number, counted from the beginning; 0 for one that is out of range, and 1 for 0."""
        bad, zero = self.bad(value, at), tirx.const(0, self.dtype)
        if not self.low:
            return tirx.Select(bad, tirx.const(1, self.dtype), value)
        if self.size:
            value = tirx.Select(tirx.LT(value, zero), value + self._bound(self.size, at), value)
        return tirx.Select(bad, zero, value)

    def _bound(self, bounds: tuple[int, ...], at: Sequence[tirx.Var]) -> tirx.Expr:
        """Give a bound as a number of the type, cut to what the type holds."""
        numbers = [tirx.const(_held(self.dtype, each), self.dtype) for each in bounds]
        found = numbers[-1]
        for slot in reversed(range(len(numbers) - 1)):
            found = tirx.Select(tirx.EQ(at[-1], tirx.const(slot, at[-1].ty)), numbers[slot], found)
        return found


def _held(dtype: str, number: int) -> int:
    if dtype.startswith("float"):
        return number
    bits = int("".join(filter(str.isdigit, dtype)))
    least, most = (0, (1 << bits) - 1) if dtype.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)
    return max(least, min(most, number))


def _first_bad(x: te.Tensor, shape: list[tirx.Expr], numbers: _Numbers, kind: str) -> te.Tensor:
    """Number of the first element that is out of range, or their count."""
    axes = [te.reduce_axis((0, extent), name=f"k{place}") for place, extent in enumerate(shape or [1])]
    at = [axis.var for axis in axes] if shape else []
    element: tirx.Expr = tirx.const(0, kind)
    for axis, extent in zip(axes, shape, strict=False):
        element = element * tirx.Cast(kind, extent) + tirx.Cast(kind, axis.var)
    count = _count(shape, kind)
    return te.compute(
        (1,),
        lambda _: te.min(tirx.Select(numbers.bad(x(*at), at), element, count), axis=axes),
        name="first",
    )


def _known_size(shape: list[tirx.Expr]) -> int:
    return math.prod(int(extent) if isinstance(extent, int | tirx.IntImm) else 1 << 31 for extent in shape)


def _count(shape: list[tirx.Expr], kind: str) -> tirx.Expr:
    found: tirx.Expr = tirx.const(1, kind)
    for extent in shape:
        found = found * tirx.Cast(kind, extent)
    return found


def _asked(conditions: Sequence[te.Tensor], wanted: Sequence[bool], told: tirx.Expr) -> tirx.Expr:
    for condition, want in zip(conditions, wanted, strict=True):
        value = tirx.Cast("bool", condition(*[0] * len(condition.shape)))
        told = tirx.And(told, value if want else tirx.Not(value))
    return told


def _unravelled(element: tirx.Expr, shape: list[tirx.Expr], kind: str) -> list[tirx.Expr]:
    found: list[tirx.Expr] = []
    for extent in reversed(shape):
        size = tirx.Cast(kind, extent)
        found.append(tirx.FloorMod(element, size))
        element = tirx.FloorDiv(element, size)
    return list(reversed(found))
