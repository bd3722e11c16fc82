"""What is said of a range that can't be padded, and what to give instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modeldyno.base.errors import CompileError
from modeldyno.compiler.model.shapes import Template
from modeldyno.compiler.ranges.any_shape import AnyShape, Sizes
from modeldyno.runtime.records.buckets import Axis, Place


def refusal(
    model: AnyShape,
    axes: tuple[Axis, ...],
    sizes: tuple[Sizes, Sizes],
    output: tuple[str, float],
    blamed: Mapping[int, str],
) -> CompileError:
    """Word that an output differs by so much; `blamed` names operators by the places of axes."""
    changed, padded = _padded(axes, sizes)
    name, difference = output
    return CompileError(
        f"{model.family.name}: padding {padded} changes output {name!r} by {difference:.1e} of its largest "
        f"value, so a range can't be compiled here: {_cause(axes, changed, blamed)}. "
        f"Give the exact sizes instead, which are never padded: {advice(model.template, axes, changed)}",
        stage="shapes",
        target=model.target,
    )


def refuses_zeros(
    model: AnyShape, axes: tuple[Axis, ...], sizes: tuple[Sizes, Sizes], said: str
) -> CompileError:
    """Word that the source model takes a request, but not what it is padded to.

    It divides whole numbers by the zeros, say.
    """
    changed, padded = _padded(axes, sizes)
    return CompileError(
        f"{model.family.name}: padding {padded} with zeros makes what the source model refuses, so a range "
        f"can't be compiled here: {said}. Give the exact sizes instead, which are never padded: "
        f"{advice(model.template, axes, changed)}",
        stage="shapes",
        target=model.target,
    )


def refuted(model: AnyShape, axes: tuple[Axis, ...], index: int, cause: str) -> CompileError:
    """Word that the graph shows an operator which reads padding."""
    return CompileError(
        f"{model.family.name}: padding {axes[index].name} with zeros can change outputs, so a range can't be "
        f"compiled here: {cause}, and nothing in the graph could hide the padding from it. "
        f"Give the exact sizes instead, which are never padded: {advice(model.template, axes, [index])}",
        stage="shapes",
        target=model.target,
    )


def _padded(axes: tuple[Axis, ...], sizes: tuple[Sizes, Sizes]) -> tuple[list[int], str]:
    """Give the places of the axes that are padded, and words for how far."""
    wanted, bucket = sizes
    changed = [index for index in range(len(axes)) if wanted[index] != bucket[index]]
    return changed, " and ".join(f"{axes[i].name} from {wanted[i]} to {bucket[i]}" for i in changed)


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
    """Word shapes with lists in the place of the ranges of the `changed` axes."""
    texts: dict[str, list[str]] = {
        name: ["" if size is None else str(size) for size in shape] for name, shape in template.shapes.items()
    }
    for index, (free, axis) in enumerate(zip(template.axes, axes, strict=True)):
        exact = "|".join(map(str, sorted({axis.low, *axis.sizes})))
        shown = exact if index in changed else str(free.span)
        for place in free.places:
            texts[place.tensor][place.dimension] = shown
    named = {place.tensor for index in changed for place in template.axes[index].places}
    return " ".join(f"`shapes` '{name}={','.join(texts[name])}'" for name in texts if name in named)


def no_simple_way(model: AnyShape, place: Place, how: str) -> CompileError:
    """Word that an output's size does not follow an axis in a fixed ratio."""
    return CompileError(
        f"{model.family.name}: dimension {place.dimension} of output {place.tensor!r} follows {how}, so a "
        "padded output can't be cut back. Give exact sizes instead of the range, e.g. 1|2|4",
        stage="shapes",
        target=model.target,
    )
