"""Whether a request may be run in pieces: whether its rows depend on one another.

The model's graph may prove or refute it (`compiler.ranges.independence`). Runs of the source model, in which
all rows but one are changed, can refute it too, with many kinds of numbers where nothing is proved.
"""

from __future__ import annotations

from collections.abc import Sequence

from modeldyno.base.errors import DynoError
from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.shapes import FreeAxis
from modeldyno.compiler.ranges.any_shape import AnyShape
from modeldyno.compiler.ranges.independence import Judge
from modeldyno.runtime.kinds import FEW, KINDS, MASKED, SIGNS, Kind
from modeldyno.runtime.records.buckets import Axis, Place
from modeldyno.runtime.records.origin import Independence

# Rounding of one model at two sizes: other sums in another order. A row that matters does more.
TOLERANCES = {"float16": 3e-2, "float64": 1e-6}
TOLERANCE = 1e-4


Kinds = tuple[Kind, ...]


def kinds_of(model: AnyShape) -> tuple[Kinds, ...]:
    """Kinds of numbers to try: one for all inputs, or for each in turn. Without floats most are the same."""
    floats = sum(dtype.startswith("float") for dtype in model.family.dtypes.values())
    one = (*KINDS[1:], MASKED, FEW) if floats else (KINDS[1], FEW)
    return (*((each,) for each in one), *(SIGNS if floats > 1 else ()))


def independence(model: AnyShape, judge: Judge, axes: Sequence[Axis]) -> Independence:
    """Give the verdict on the rows of a batch. What runs of the source model refute is not proved.

    They see what a graph with open sizes can't: a torch module that does something else for a single row.
    """
    for index, (free, axis) in enumerate(zip(model.template.axes, axes, strict=True)):
        if any(place.dimension for place in free.places):
            continue
        found = judge.joined(free)
        if found.proved and not (axis.splits if axis.padded else _independent(model, index, ())):
            return Independence(verdict="refuted", cause="runs of the source model: rows differ alone")
        return Independence(verdict=found.word, cause=found.cause)
    return Independence(cause="no axis is the first dimension of every input")


def has_rows(model: AnyShape, axis: FreeAxis, outputs: tuple[Place, ...]) -> bool:
    """Whether an axis is the first dimension of its inputs and of every output, and no other."""
    if any(place.dimension for place in (*axis.places, *outputs)):
        return False
    names = model.run(model.feeds(tuple(each.span.low for each in model.template.axes)))
    return {place.tensor for place in outputs} == set(names)


def splits_rows(model: AnyShape, judge: Judge, index: int) -> bool:
    """Whether rows are independent: proved, or seen with many kinds of numbers. A trial refutes both."""
    verdict = judge.joined(model.template.axes[index])
    if verdict.refuted:
        return False
    every = ((),) if verdict.proved else ((), *kinds_of(model))
    return all(_independent(model, index, kinds) for kinds in every)


def _independent(model: AnyShape, index: int, kinds: Kinds) -> bool:
    """Whether the first rows are the same without the rest, and one row is when all the others change."""
    axis = model.template.axes[index]
    sizes = [each.span.low for each in model.template.axes]
    sizes[index] = min(max(3, axis.span.low + 1), axis.span.high)
    feeds = model.feeds(sizes, kinds)
    try:
        before = model.run(feeds)
    except DynoError:
        if not kinds:
            raise
        return True  # it takes no such numbers
    others = AnyShape(model.family, model.template, model.seed + 1, model.target).feeds(sizes)
    names = {place.tensor for place in axis.places}
    rows = sizes[index]

    def same(kept: int) -> bool:
        changed = {name: array.copy() for name, array in feeds.items()}
        for name in names:
            for row in set(range(rows)) - {kept}:
                # Of unlike size, so that a scale that is taken from all rows is seen.
                changed[name][row] = others[name][row] * (30 if others[name].dtype.kind == "f" else 1)
        after = model.run(changed)
        return all(_same_rows(before[name], after[name], kept, rows) for name in before)

    few = axis.span.low
    first = {name: array[:few] if name in names else array for name, array in feeds.items()}
    alone = model.run(first)
    apart = all(
        _close(before[name][: before[name].shape[0] // rows * few], found) for name, found in alone.items()
    )
    return apart and same(0) and same(rows - 1)


def _same_rows(before: Array, after: Array, kept: int, rows: int) -> bool:
    each = before.shape[0] // rows
    window = slice(kept * each, (kept + 1) * each)
    return _close(before[window], after[window])


def _close(one: Array, other: Array) -> bool:
    return compare("", one, other).max_rel <= TOLERANCES.get(one.dtype.name, TOLERANCE)
