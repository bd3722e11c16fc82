"""Fixing the shapes that a model leaves open, and what is wrong with those that a user gives."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from modeldyno.base.errors import ConfigError, ModelError

Shapes = dict[str, tuple[int, ...]]
# One input of more numbers than this is a slip of the pen: as float32 it would take 4 GiB.
MOST_ELEMENTS = 1 << 30


def fix_shapes(declared: dict[str, tuple[int | None, ...]], given: Shapes) -> Shapes:
    """Combine the model's declared input shapes with those the user gave.

    Raises:
        ConfigError: a shape for an unknown input, of another rank, or against a fixed dimension.
        ModelError: an input has no fixed shape and the user gave none.
    """
    check_names(declared, given)
    fixed = {name: _fix_shape(name, shape, given.get(name)) for name, shape in declared.items()}
    for name, shape in fixed.items():
        if math.prod(shape) > MOST_ELEMENTS:
            raise ConfigError(
                f"input {name!r} of shape {show_shape(shape)} would hold {math.prod(shape):.1e} numbers; "
                f"the most that is compiled for is {MOST_ELEMENTS:.1e}"
            )
    return fixed


def _fix_shape(name: str, declared: tuple[int | None, ...], given: tuple[int, ...] | None) -> tuple[int, ...]:
    if given is None:
        if any(size is None for size in declared):
            raise no_fixed_shape(name, declared)
        return tuple(size for size in declared if size is not None)
    shown = show_shape(declared)
    if len(given) != len(declared):
        raise ConfigError(
            f"`shapes` {name}={','.join(map(str, given))} has {len(given)} dimensions, the model's input has "
            f"{len(declared)} ({shown})",
            field="shapes",
        )
    for size, wanted in zip(declared, given, strict=True):
        if size is not None and size != wanted:
            raise ConfigError(
                f"`shapes` {name}={','.join(map(str, given))} goes against the model's {shown}",
                field="shapes",
            )
    return given


def show_shape(shape: Iterable[int | None]) -> str:
    """Word a shape; `?` where any size goes."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def check_names(declared: Mapping[str, object], given: Collection[str]) -> None:
    """Refuse shapes for inputs that the model has not.

    Raises:
        ConfigError: names the first, and the inputs that there are.
    """
    unknown = sorted(set(given) - declared.keys())
    if unknown:
        known = ", ".join(declared)
        raise ConfigError(
            f"`shapes` {unknown[0]}: the model has no such input; its inputs are: {known}", field="shapes"
        )


def no_fixed_shape(name: str, declared: Sequence[int | str | None]) -> ModelError:
    """Make the error of an input that is left open, and that no shape was given for."""
    shown = show_shape(size if isinstance(size, int) else None for size in declared)
    example = ",".join(str(size) if isinstance(size, int) else "1" for size in declared)
    return ModelError(
        f"input {name!r} has no fixed shape ({shown})",
        field="shapes",
        hint=f"give one, e.g. `shapes` '{name}={example}'",
    )
