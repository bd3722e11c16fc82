"""Shapes as a user gives them: a size, a list or a range for each dimension; and which of them go together.

    8               one size
    1|4|8           exactly these sizes: each is compiled, none is padded
    1..32           any size from 1 to 32: some are compiled, a request is padded up to the next of them
    1..32@1|8|32    the same, and which are compiled; the last is the range's end

Dimensions that have one symbolic name in the model are one axis: they move together, and it is enough to give
the size of one of them. Dimensions without a name are one axis where they are given equal ranges or lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.model.fixed_shapes import Shapes, check_names, no_fixed_shape
from modeldyno.runtime.records.buckets import Place

GRAMMAR = (
    "a size (8), a list of exact sizes (1|4|8), a range (1..32) or a range with its buckets (1..32@1|8|32)"
)
MOST_BUCKETS = 64
_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})(?:@([0-9]{1,9}(?:\|[0-9]{1,9})*))?")
_NUMBERED = re.compile(r"s[0-9]+")  # torch.export's own names, which say nothing to a reader
_LIST = re.compile(r"[0-9]{1,9}(?:\|[0-9]{1,9})*")


@dataclass(frozen=True)
class Span:
    """More than one size for a dimension. Where `padded`, all from `low` to `high`; else `sizes` alone.

    `sizes` are those to compile, ascending; empty leaves them to `bucket_sizes`.
    """

    low: int
    high: int
    padded: bool
    sizes: tuple[int, ...] = ()

    def __str__(self) -> str:
        """As a user writes it."""
        listed = "|".join(map(str, self.sizes))
        if not self.padded:
            return listed
        return f"{self.low}..{self.high}" + (f"@{listed}" if listed else "")


Size = int | Span
Given = Mapping[str, Sequence["int | str | Span"]]
Declared = Mapping[str, Sequence["int | str | None"]]  # a size, the model's name for it, or neither


@dataclass(frozen=True)
class FreeAxis:
    """A size that is left open, and the inputs' dimensions that have it."""

    name: str
    span: Span
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Template:
    """Input shapes with open axes: None where an axis decides."""

    shapes: dict[str, tuple[int | None, ...]]
    axes: tuple[FreeAxis, ...]

    def at(self, sizes: Sequence[int]) -> Shapes:
        """Give the shapes for one size of each axis."""
        filled = {name: list(shape) for name, shape in self.shapes.items()}
        for axis, size in zip(self.axes, sizes, strict=True):
            for place in axis.places:
                filled[place.tensor][place.dimension] = size
        return {name: tuple(size or 0 for size in shape) for name, shape in filled.items()}


def open_specs(template: Template, dtypes: Mapping[str, str]) -> tuple[TensorSpec, ...]:
    """Give the inputs with the limits of their open axes."""
    limits = {
        (place.tensor, place.dimension): (axis.span.low, axis.span.high)
        for axis in template.axes
        for place in axis.places
    }
    return tuple(
        TensorSpec(
            name=name,
            dtype=dtypes[name],
            shape=shape,
            limits=tuple(limits.get((name, at)) for at in range(len(shape))),
        )
        for name, shape in template.shapes.items()
    )


def parse_size(text: str) -> Size:
    """Read one dimension.

    Raises:
        ValueError: it does not follow the grammar, or contradicts itself.
    """
    if found := _RANGE.fullmatch(text.strip()):
        low, high = int(found[1]), int(found[2])
        sizes = _sizes(found[3]) if found[3] else ()
        if not 1 <= low <= high:
            raise ValueError(f"{text!r}: a range goes from a smaller size, 1 or more, to a larger one")
        if sizes and (sizes[0] < low or sizes[-1] != high):
            raise ValueError(f"{text!r}: the buckets lie in the range, and the largest is its end, {high}")
        return low if low == high else Span(low, high, padded=True, sizes=sizes)
    if not _LIST.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not {GRAMMAR}")
    sizes = _sizes(text)
    if sizes[0] < 1:
        raise ValueError(f"{text!r}: sizes are positive")
    return sizes[0] if len(sizes) == 1 else Span(sizes[0], sizes[-1], padded=False, sizes=sizes)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(size) for size in text.split("|")}))


def parse_shapes(given: Given) -> dict[str, tuple[Size, ...]]:
    """Read the shapes that were given, by input name.

    Raises:
        ConfigError: a size does not follow the grammar.
    """
    return {name: _parse_shape(name, shape) for name, shape in given.items()}


def _parse_shape(name: str, shape: Sequence[int | str | Span]) -> tuple[Size, ...]:
    try:
        return tuple(parse_size(str(size)) for size in shape)
    except ValueError as error:
        shown = f"{name}={','.join(map(str, shape))}"
        raise ConfigError(f"`shapes` {shown}: expected NAME=SIZE,SIZE,…; {error}", field="shapes") from error


def is_open(shapes: Mapping[str, Sequence[Size]]) -> bool:
    """Whether any dimension has more than one size."""
    return any(isinstance(size, Span) for shape in shapes.values() for size in shape)


def open_dimensions(shape: Sequence[Size]) -> set[int]:
    """Give the dimensions that have more than one size."""
    return {at for at, size in enumerate(shape) if isinstance(size, Span)}


def fixed_shapes(shapes: Mapping[str, Sequence[Size]]) -> Shapes:
    """Give shapes of which none is open."""
    return {name: tuple(size for size in shape if isinstance(size, int)) for name, shape in shapes.items()}


def template(declared: Declared, given: Mapping[str, Sequence[Size]]) -> Template:
    """Combine what the model declares with what the user gave.

    Raises:
        ConfigError: a shape for an unknown input, of another rank, against a fixed size, or against another
            with the same symbolic name.
        ModelError: a dimension is open and nothing says its size.
    """
    check_names(declared, given)
    named = _by_symbol(declared, given)
    shapes: dict[str, tuple[int | None, ...]] = {}
    axes: dict[str, FreeAxis] = {}
    for name, shape in declared.items():
        sizes = [_resolved(name, at, shape, given.get(name), named) for at in range(len(shape))]
        shapes[name] = tuple(None if isinstance(size, Span) else size for size in sizes)
        for at, (size, symbol) in enumerate(zip(sizes, shape, strict=True)):
            if isinstance(size, Span):
                key = f"symbol {symbol}" if isinstance(symbol, str) else f"span {size}"
                named_so = isinstance(symbol, str) and not _NUMBERED.fullmatch(symbol)
                title = str(symbol) if named_so else f"{name}[{at}]"
                known_axis = axes.get(key, FreeAxis(title, size, ()))
                places = (*known_axis.places, Place(tensor=name, dimension=at))
                axes[key] = FreeAxis(known_axis.name, size, places)
    return Template(shapes, tuple(axes.values()))


def _by_symbol(declared: Declared, given: Mapping[str, Sequence[Size]]) -> dict[str, Size]:
    """Find the size of each of the model's names; the same wherever it was given."""
    found: dict[str, tuple[Size, str]] = {}
    for name, shape in given.items():
        wanted = declared[name]
        if len(shape) != len(wanted):
            raise ConfigError(
                f"`shapes` {_shown(name, shape)} has {len(shape)} dimensions, the model's input has "
                f"{len(wanted)}",
                field="shapes",
            )
        for at, (size, symbol) in enumerate(zip(shape, wanted, strict=True)):
            if isinstance(symbol, int) and size != symbol:
                raise ConfigError(
                    f"`shapes` {_shown(name, shape)}: the model fixes dimension {at} of {name!r} to {symbol}",
                    field="shapes",
                    hint="export it with that dimension left open (dynamic axes) to compile it for others",
                )
            if isinstance(symbol, str):
                first, where = found.setdefault(symbol, (size, name))
                if first != size:
                    raise ConfigError(
                        f"`shapes` {name} has {size} for the model's {symbol!r}, and `shapes` {where} has "
                        f"{first}: dimensions of one name move together, so give both the same",
                        field="shapes",
                    )
    return {symbol: size for symbol, (size, _) in found.items()}


def _resolved(
    name: str,
    at: int,
    declared: Sequence[int | str | None],
    given: Sequence[Size] | None,
    named: Mapping[str, Size],
) -> Size:
    symbol = declared[at]
    if isinstance(symbol, int):
        return symbol
    if given is not None:
        return given[at]
    if isinstance(symbol, str) and symbol in named:
        return named[symbol]
    raise no_fixed_shape(name, declared)


def bucket_sizes(span: Span, *, splits: bool) -> tuple[int, ...]:
    """Choose the sizes to compile for a span that does not say them.

    The powers of two in the range, and its end. Where a request can't be split (`splits`: 5 rows as 4 and 1),
    the sizes half-way between are compiled too (3, 6, 12, 24): then at most a third of a run is padding.
    """
    if span.sizes:
        return span.sizes
    powers = [1 << bit for bit in range(span.high.bit_length())]
    steps = [] if splits else [power // 2 * 3 for power in powers if power > 1]
    return tuple(sorted({size for size in (*powers, *steps) if span.low <= size < span.high} | {span.high}))


def _shown(name: str, shape: Sequence[Size]) -> str:
    return f"{name}={','.join(map(str, shape))}"
