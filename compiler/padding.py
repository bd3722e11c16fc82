"""Whether a request may be padded up to a larger shape, and run in pieces.

The model's graph may prove it, or refute it (`compiler.independence`). Before anything is compiled, the
source model also runs requests of sizes between the buckets twice, as they are and padded with zeros; where
the graph proves nothing, with many kinds of numbers. Where an output differs by more than rounding, padding
would give wrong answers, and the range is refused. Whether rows depend on one another is seen by changing
all others but one. The manifest says what is proved and what was only tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from compiler.any_shape import AnyShape, Feeds, Sizes
from compiler.frontends.family import Family
from compiler.independence import Judge
from compiler.shapes import MOST_BUCKETS, FreeAxis, Template, bucket_sizes
from compiler.source import Array, fix_shapes
from compiler.verify import compare
from dyno.errors import CompileError, ConfigError, DynoError
from runtime.bucket_records import Axis, Place
from runtime.kinds import FEW, KINDS, MASKED, Kind

# Rounding of one model at two sizes: other sums in another order. A padded row that matters does more.
_TOLERANCES = {"float16": 3e-2, "float64": 1e-6}
_TOLERANCE = 1e-4


def check_axes(
    family: Family, template: Template, *, seed: int, target: str, judge: Judge | None = None
) -> tuple[Axis, ...]:
    """Choose each axis's sizes, and see by graph and source model that padding to them is right.

    Raises:
        CompileError: padding changes an output, or an output's shape follows a padded axis in no simple way.
        ModelError: the model does not take sizes in the range.
    """
    model = AnyShape(family, template, seed, target)
    judge = judge or Judge(family, template)
    largest = template.at([axis.span.high for axis in template.axes])
    fix_shapes(template.shapes, largest)  # none is beyond all bounds
    outputs = _outputs(model)
    axes = []
    for index, free in enumerate(template.axes):
        places = outputs[index]
        # One axis at the most has the first dimension of every output.
        splits = free.span.padded and _has_rows(model, free, places) and _splits(model, judge, index)
        axes.append(
            Axis(
                name=free.name,
                inputs=free.places,
                outputs=places if free.span.padded else (),
                low=free.span.low,
                sizes=bucket_sizes(free.span, splits=splits),
                padded=free.span.padded,
                splits=splits,
            )
        )
    found = tuple(axes)
    _check_count(found)
    return _padded_rightly(model, judge, found)


def _padded_rightly(model: AnyShape, judge: Judge, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Try padding, then ask the graph; say of each axis how it is known.

    Raises:
        CompileError: padding changes an output.
    """
    verdicts = [
        judge.padded(free) if _is_ever_padded(axis) else None
        for free, axis in zip(model.template.axes, axes, strict=True)
    ]
    blamed = {index: found.cause for index, found in enumerate(verdicts) if found and not found.proved}
    for wanted, bucket in _trials(axes):
        _check_padding(model, axes, (wanted, bucket), blamed)
    for index, found in enumerate(verdicts):
        if found and found.refuted:
            raise _refuted(model, axes, index, found.cause)
    if blamed:
        for wanted, bucket in _few_trials(axes, blamed):
            for kind in _kinds(model):
                _check_padding(model, axes, (wanted, bucket), blamed, kind)
    return tuple(
        axis
        if found is None
        else axis.model_copy(
            update={"padding": "proved" if found.proved else "tried", "padding_unproved": found.cause}
        )
        for axis, found in zip(axes, verdicts, strict=True)
    )


def _kinds(model: AnyShape) -> tuple[Kind, ...]:
    """Kinds of numbers to try; without float inputs most would be the same."""
    floats = any(dtype.startswith("float") for dtype in model.family.dtypes.values())
    return (*KINDS[1:], MASKED, FEW) if floats else (KINDS[1], FEW)


def _is_ever_padded(axis: Axis) -> bool:
    """Whether there is a size in its range that is not compiled itself."""
    return axis.padded and len(axis.sizes) <= axis.sizes[-1] - axis.low


def _few_trials(axes: tuple[Axis, ...], tried: Iterable[int]) -> Iterator[tuple[Sizes, Sizes]]:
    """Give the first and the last trial of each axis: one for each kind of numbers has to do."""
    trials = list(_trials(axes))
    for index in tried:
        own = [each for each in trials if each[0][index] != each[1][index]]
        yield from dict.fromkeys([*own[:1], *own[-1:]])


def _check_count(axes: tuple[Axis, ...]) -> None:
    count = math.prod(len(axis.sizes) for axis in axes)
    if count > MOST_BUCKETS:
        listed = "; ".join(f"{axis.name}: {'|'.join(map(str, axis.sizes))}" for axis in axes)
        longest = max(axes, key=lambda axis: len(axis.sizes))
        end = longest.sizes[-1]
        few = "|".join(map(str, sorted({max(longest.low, end // 4), max(longest.low, end // 2), end})))
        raise ConfigError(
            f"--shape: {count} shapes would be compiled ({listed}); at most {MOST_BUCKETS} are. Take a "
            f"smaller range, or say which sizes to compile, e.g. {longest.low}..{end}@{few} for "
            f"{longest.name}"
        )


def worst_sizes(axes: Sequence[Axis], bucket: Sizes) -> Sizes:
    """Give the request that a bucket pads most: on each axis the size behind the next smaller bucket's."""
    return tuple(_least(axis, size) for axis, size in zip(axes, bucket, strict=True))


def _least(axis: Axis, size: int) -> int:
    if not axis.padded:
        return size
    smaller = [each for each in axis.sizes if each < size]
    return smaller[-1] + 1 if smaller else axis.low


def _trials(axes: tuple[Axis, ...]) -> Iterator[tuple[Sizes, Sizes]]:
    """Give requests and buckets: each size of each axis with the others small, then one padded on all."""
    small = tuple(axis.sizes[0] for axis in axes)
    for index, axis in enumerate(axes):
        for size in axis.sizes:
            bucket = (*small[:index], size, *small[index + 1 :])
            least = _least(axis, size)
            for wanted in sorted({least, (least + size) // 2} - {size}):
                yield (*small[:index], wanted, *small[index + 1 :]), bucket
    largest = tuple(axis.sizes[min(len(axis.sizes) - 1, 2)] for axis in axes)
    if len(axes) > 1 and worst_sizes(axes, largest) != largest:
        yield worst_sizes(axes, largest), largest


def _check_padding(
    model: AnyShape,
    axes: tuple[Axis, ...],
    sizes: tuple[Sizes, Sizes],
    blamed: Mapping[int, str],
    kind: Kind | None = None,
) -> None:
    """Run one request as it is and padded; numbers of a `kind` that the model refuses say nothing."""
    wanted, bucket = sizes
    feeds = model.feeds(wanted, kind)
    try:
        alone = model.run(feeds)
        together = model.run(model.padded(feeds, bucket))
    except DynoError:
        if kind is None:
            raise
        return
    for name, expected in alone.items():
        found = cut(together[name], name, axes, wanted, bucket)
        difference = compare(name, expected, found).max_rel
        if not difference <= _TOLERANCES.get(expected.dtype.name, _TOLERANCE):  # NaN is no agreement
            if kind is not None and _is_rounding(model, feeds, name, difference):
                continue
            raise _refusal(model, axes, sizes, (name, difference), blamed)


def _is_rounding(model: AnyShape, feeds: Feeds, name: str, difference: float) -> bool:
    """Whether inputs moved by one unit in the last place change an output as much: large numbers do that."""
    moved = {
        each: np.nextafter(array, array.dtype.type(np.inf)) if array.dtype.kind == "f" else array
        for each, array in feeds.items()
    }
    change = compare(name, model.run(feeds)[name], model.run(moved)[name]).max_rel
    return difference <= 8 * change


def cut(array: Array, name: str, axes: Sequence[Axis], wanted: Sizes, bucket: Sizes) -> Array:
    """Cut a padded output back to the request's sizes."""
    for axis, want, size in zip(axes, wanted, bucket, strict=True):
        for place in axis.outputs:
            if place.tensor == name:
                rows = array.shape[place.dimension] // size * want
                array = array[(slice(None),) * place.dimension + (slice(rows),)]
    return array


def _refusal(
    model: AnyShape,
    axes: tuple[Axis, ...],
    sizes: tuple[Sizes, Sizes],
    output: tuple[str, float],
    blamed: Mapping[int, str],
) -> CompileError:
    wanted, bucket = sizes
    changed = [index for index in range(len(axes)) if wanted[index] != bucket[index]]
    padded = " and ".join(f"{axes[i].name} from {wanted[i]} to {bucket[i]}" for i in changed)
    name, difference = output
    return CompileError(
        f"{model.family.name}: padding {padded} changes output {name!r} by {difference:.1e} of its largest "
        f"value, so a range can't be compiled here: {_cause(axes, changed, blamed)}. "
        f"Give the exact sizes instead, which are never padded: {advice(model.template, axes, changed)}",
        stage="shapes",
        target=model.target,
    )


def _refuted(model: AnyShape, axes: tuple[Axis, ...], index: int, cause: str) -> CompileError:
    return CompileError(
        f"{model.family.name}: padding {axes[index].name} with zeros can change outputs, so a range can't be "
        f"compiled here: {cause}, and nothing in the graph could hide the padding from it. "
        f"Give the exact sizes instead, which are never padded: {advice(model.template, axes, [index])}",
        stage="shapes",
        target=model.target,
    )


def _cause(axes: tuple[Axis, ...], changed: list[int], blamed: Mapping[int, str]) -> str:
    rows = all(place.dimension == 0 for index in changed for place in axes[index].inputs)
    named = "; ".join(dict.fromkeys(blamed[index] for index in changed if index in blamed))
    operators = f" ({named})" if named else ""
    if rows:
        return f"its rows depend on one another{operators}"
    return (
        "it reads the padding too (attention without a mask, a mean, or the edge of a convolution, say)"
        f"{operators}"
    )


def advice(template: Template, axes: Sequence[Axis], changed: Sequence[int]) -> str:
    """Word --shape options with lists in the place of the ranges of the `changed` axes."""
    texts: dict[str, list[str]] = {
        name: ["" if size is None else str(size) for size in shape] for name, shape in template.shapes.items()
    }
    for index, (free, axis) in enumerate(zip(template.axes, axes, strict=True)):
        exact = "|".join(map(str, sorted({axis.low, *axis.sizes})))
        shown = exact if index in changed else str(free.span)
        for place in free.places:
            texts[place.tensor][place.dimension] = shown
    named = {place.tensor for index in changed for place in template.axes[index].places}
    return " ".join(f"--shape '{name}={','.join(texts[name])}'" for name in texts if name in named)


def _outputs(model: AnyShape) -> list[tuple[Place, ...]]:
    """Find the outputs' dimensions that follow each padded axis, one to one or several to one.

    Raises:
        CompileError: one follows it in another way, or two axes at once.
    """
    axes = model.template.axes
    full = tuple(axis.span.high for axis in axes)
    if not any(axis.span.padded for axis in axes):
        return [()] * len(axes)
    shapes = {name: array.shape for name, array in model.run(model.feeds(full)).items()}
    found: list[tuple[Place, ...]] = []
    for index, axis in enumerate(axes):
        if not axis.span.padded:
            found.append(())
            continue
        low = (*full[:index], axis.span.low, *full[index + 1 :])
        less = {name: array.shape for name, array in model.run(model.feeds(low)).items()}
        found.append(tuple(_followers(model, axis, shapes, less)))
    claimed = [place for places in found for place in places]
    for place in claimed:
        if claimed.count(place) > 1:
            raise _no_simple_way(model, place, "two of the ranges at once")
    return found


def _followers(
    model: AnyShape, axis: FreeAxis, high: dict[str, Sizes], low: dict[str, Sizes]
) -> Iterator[Place]:
    for name, shape in high.items():
        for dimension, (many, few) in enumerate(zip(shape, low[name], strict=True)):
            if many == few:
                continue
            place = Place(tensor=name, dimension=dimension)
            if many % axis.span.high or few != many // axis.span.high * axis.span.low:
                raise _no_simple_way(model, place, f"{axis.name} in no fixed ratio")
            yield place


def _no_simple_way(model: AnyShape, place: Place, how: str) -> CompileError:
    return CompileError(
        f"{model.family.name}: dimension {place.dimension} of output {place.tensor!r} follows {how}, so a "
        "padded output can't be cut back. Give exact sizes instead of the range, e.g. 1|2|4",
        stage="shapes",
        target=model.target,
    )


def _has_rows(model: AnyShape, axis: FreeAxis, outputs: tuple[Place, ...]) -> bool:
    """Whether an axis is the first dimension of its inputs and of every output, and no other."""
    if any(place.dimension for place in (*axis.places, *outputs)):
        return False
    names = model.run(model.feeds(tuple(each.span.low for each in model.template.axes)))
    return {place.tensor for place in outputs} == set(names)


def _splits(model: AnyShape, judge: Judge, index: int) -> bool:
    """Whether rows are independent: proved, or seen with many kinds of numbers. A trial refutes both."""
    verdict = judge.joined(model.template.axes[index])
    if verdict.refuted:
        return False
    kinds: tuple[Kind | None, ...] = (None,) if verdict.proved else (None, *_kinds(model))
    return all(_independent(model, index, kind) for kind in kinds)


def _independent(model: AnyShape, index: int, kind: Kind | None) -> bool:
    """Whether the first rows are the same without the rest, and one row is when all the others change."""
    axis = model.template.axes[index]
    sizes = [each.span.low for each in model.template.axes]
    sizes[index] = min(max(3, axis.span.low + 1), axis.span.high)
    feeds = model.feeds(sizes, kind)
    try:
        before = model.run(feeds)
    except DynoError:
        if kind is None:
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
    return compare("", one, other).max_rel <= _TOLERANCES.get(one.dtype.name, _TOLERANCE)
