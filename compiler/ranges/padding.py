"""Whether a request may be padded up to a larger shape, and run in pieces.

The model's graph may prove it, or refute it (`compiler.ranges.independence`). Before anything is compiled,
the source model also runs requests of sizes between the buckets twice, as they are and padded with zeros;
where the graph proves nothing, with many kinds of numbers. Where an output differs by more than rounding,
padding would give wrong answers, and the range is refused. Whether rows depend on one another is seen by
changing all others but one. The manifest says what is proved and what was only tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from modeldyno.base.errors import ConfigError, DynoError
from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.fixed_shapes import fix_shapes
from modeldyno.compiler.model.shapes import MOST_BUCKETS, FreeAxis, Template, bucket_sizes
from modeldyno.compiler.ranges.any_shape import AnyShape, Feeds, Sizes
from modeldyno.compiler.ranges.independence import Judge
from modeldyno.compiler.ranges.padding_words import no_simple_way, refusal, refuses_zeros, refuted
from modeldyno.compiler.ranges.splitting import TOLERANCE, TOLERANCES, Kinds, has_rows, kinds_of, splits_rows
from modeldyno.runtime.records.buckets import Axis, Place


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
        splits = free.span.padded and has_rows(model, free, places) and splits_rows(model, judge, index)
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
            raise refuted(model, axes, index, found.cause)
    if blamed:
        for wanted, bucket in _few_trials(axes, blamed):
            for kinds in kinds_of(model):
                _check_padding(model, axes, (wanted, bucket), blamed, kinds)
    return tuple(
        axis
        if found is None
        else axis.model_copy(
            update={"padding": "proved" if found.proved else "tried", "padding_unproved": found.cause}
        )
        for axis, found in zip(axes, verdicts, strict=True)
    )


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
            f"`shapes`: {count} shapes would be compiled ({listed}); at most {MOST_BUCKETS} are. Take a "
            f"smaller range, or say which sizes to compile, e.g. {longest.low}..{end}@{few} for "
            f"{longest.name}",
            field="shapes",
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
    kinds: Kinds = (),
) -> None:
    """Run one request as it is and padded; numbers of `kinds` that the model refuses say nothing."""
    wanted, bucket = sizes
    feeds = model.feeds(wanted, kinds)
    try:
        alone = model.run(feeds)
    except DynoError:
        if not kinds:
            raise
        return
    try:
        together = model.run(model.padded(feeds, bucket))
    except DynoError as error:
        if kinds:
            return
        reason = str(error.__cause__ or error).strip().splitlines()
        raise refuses_zeros(model, axes, sizes, reason[0] if reason else "") from error
    for name, expected in alone.items():
        found = cut(together[name], name, axes, wanted, bucket)
        difference = compare(name, expected, found).max_rel
        if not difference <= TOLERANCES.get(expected.dtype.name, TOLERANCE):  # NaN is no agreement
            if kinds and _is_rounding(model, feeds, name, difference):
                continue
            raise refusal(model, axes, sizes, (name, difference), blamed)


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
            raise no_simple_way(model, place, "two of the ranges at once")
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
                raise no_simple_way(model, place, f"{axis.name} in no fixed ratio")
            yield place
