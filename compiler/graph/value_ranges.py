"""Between which numbers the elements of a tensor of whole numbers lie, as far as the graph says.

What sorts and searches give is not trusted: ArgMax has given -1 where nothing was the largest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relax, tirx

from modeldyno.compiler.graph.fold import constant
from modeldyno.compiler.graph.rewrite import op_name

Range = tuple[int, int]
_NARROW = 1 << 16  # a type of no more numbers says something by itself
# Operators that give elements of their first argument, and no others.
_PICKS = frozenset(
    f"relax.{name}"
    for name in (
        *("reshape", "expand_dims", "squeeze", "flatten", "permute_dims", "broadcast_to", "strided_slice"),
        *("take", "gather_elements", "gather_nd", "index_tensor", "tile", "repeat", "flip"),
        *("max", "min", "dynamic_strided_slice"),
    )
)


class Ranges:
    """What is known of each variable of one function; `bind` is told of them in their order."""

    def __init__(self) -> None:
        self._known: dict[relax.Var, Range | None] = {}
        self._values: dict[relax.Var, relax.Expr] = {}

    def bind(self, var: relax.Var, value: relax.Expr, known: Range | None = None) -> None:
        """Note what a variable is bound to; `known` is what is known of it from elsewhere."""
        self._values[var] = value
        self._known[var] = known or self._within_type(self._computed(value), _dtype(var))

    def of(self, expr: relax.Expr) -> Range | None:
        """Give the smallest and the largest number that an element can be; None where that is not known."""
        if isinstance(expr, relax.Var):
            return self._known.get(expr) or self._within_type(None, _dtype(expr))
        array = constant(expr)
        if array is None or array.dtype.kind not in "iub" or not array.size:
            return None
        return int(array.min()), int(array.max())

    def value(self, expr: relax.Expr) -> relax.Expr:
        """Give what a variable is bound to; any other expression as it is."""
        return self._values.get(expr, expr) if isinstance(expr, relax.Var) else expr

    def _within_type(self, found: Range | None, dtype: str) -> Range | None:
        limits = _dtype_limits(dtype)
        if limits is None:
            return None
        if found is not None and limits[0] <= found[0] and found[1] <= limits[1]:
            return found
        return limits if limits[1] - limits[0] <= _NARROW else None  # not known, or it wraps

    def _computed(self, value: relax.Expr) -> Range | None:
        if isinstance(value, relax.TupleGetItem):
            return self._of_item(value)
        name = op_name(value)
        if name in _PICKS:
            return self.of(value.args[0])
        rule = _RULES.get(name)
        return rule(self, value) if rule else None

    def _of_item(self, item: relax.TupleGetItem) -> Range | None:
        whole = self.value(item.tuple_value)
        if isinstance(whole, relax.Tuple):
            return self.of(whole.fields[item.index])
        return self.of(whole.args[0]) if op_name(whole) == "relax.split" else None


def _dtype(expr: relax.Expr) -> str:
    return str(getattr(getattr(expr, "ty", None), "dtype", "") or "")


def _dtype_limits(dtype: str) -> Range | None:
    if dtype == "bool":
        return 0, 1
    if not dtype.startswith(("int", "uint")):
        return None
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _union(*ranges: Range | None) -> Range | None:
    known = [each for each in ranges if each is not None]
    if len(known) < len(ranges) or not known:
        return None
    return min(low for low, _ in known), max(high for _, high in known)


Rule = Callable[[Ranges, relax.Call], Range | None]


def _arithmetic(compute: Callable[[int, int], int]) -> Rule:
    def rule(ranges: Ranges, call: relax.Call) -> Range | None:
        a, b = (ranges.of(arg) for arg in call.args)
        if a is None or b is None:
            return None
        ends = [compute(x, y) for x in a for y in b]
        return min(ends), max(ends)

    return rule


def _extreme(pick: Callable[..., int], known: int) -> Rule:
    """Of the larger of two, one is enough to know a lower end (`known` is 0), and so on."""

    def rule(ranges: Ranges, call: relax.Call) -> Range | None:
        a, b = (ranges.of(arg) for arg in call.args)
        limits = _dtype_limits(_dtype(call))
        if a is None or b is None:
            one = a or b
            if one is None or limits is None:
                return None
            return (one[0], limits[1]) if known == 0 else (limits[0], one[1])
        return pick(a[0], b[0]), pick(a[1], b[1])

    return rule


def _clip(ranges: Ranges, call: relax.Call) -> Range | None:
    low, high = (
        int(bound.value) if isinstance(bound, tirx.IntImm) else None for bound in map(_prim, call.args[1:3])
    )
    if low is None or high is None:
        return None
    inner = ranges.of(call.args[0])
    return (low, high) if inner is None else (max(low, inner[0]), min(high, max(low, inner[1])))


def _prim(bound: relax.Expr) -> relax.Expr:
    return getattr(bound, "value", bound) if type(bound).__name__ == "PrimValue" else bound


def _floor_mod(ranges: Ranges, call: relax.Call) -> Range | None:
    divisor = ranges.of(call.args[1])
    if divisor is None or divisor[0] <= 0:
        return None
    return 0, divisor[1] - 1


def _floor_divide(ranges: Ranges, call: relax.Call) -> Range | None:
    a, b = (ranges.of(arg) for arg in call.args)
    if a is None or b is None or b[0] <= 0:
        return None
    ends = [x // y for x in a for y in b]
    return min(ends), max(ends)


def _cast(ranges: Ranges, call: relax.Call) -> Range | None:
    return ranges.of(call.args[0]) if not _dtype(call.args[0]).startswith("float") else None


def _where(ranges: Ranges, call: relax.Call) -> Range | None:
    return _union(ranges.of(call.args[1]), ranges.of(call.args[2]))


def _concat(ranges: Ranges, call: relax.Call) -> Range | None:
    parts = ranges.value(call.args[0])
    return _union(*map(ranges.of, parts.fields)) if isinstance(parts, relax.Tuple) else None


def _arange(ranges: Ranges, call: relax.Call) -> Range | None:  # noqa: ARG001 - as all rules
    numbers = [_prim(arg) for arg in call.args]
    if not all(isinstance(number, tirx.IntImm) for number in numbers):
        return None
    found = range(*(int(number) for number in numbers))
    return (min(found), max(found)) if found else None


_RULES: dict[str, Rule] = {
    "relax.add": _arithmetic(lambda x, y: x + y),
    "relax.subtract": _arithmetic(lambda x, y: x - y),
    "relax.multiply": _arithmetic(lambda x, y: x * y),
    "relax.maximum": _extreme(max, 0),
    "relax.minimum": _extreme(min, 1),
    "relax.clip": _clip,
    "relax.floor_mod": _floor_mod,
    "relax.floor_divide": _floor_divide,
    "relax.astype": _cast,
    "relax.where": _where,
    "relax.concat": _concat,
    "relax.arange": _arange,
}
