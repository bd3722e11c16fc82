"""Seeded inputs that any model takes: what parity is checked on and what unspecified payloads hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import TensorSpec

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


def random_feeds(specs: tuple[TensorSpec, ...], seed: int) -> dict[str, Array]:
    """Make one array per input: floats normal(0, 1); the rest 0 or 1 (valid ids, masks, segments).

    A free size is the smallest there is.

    Raises:
        ConfigError: an input is no array.
    """
    rng = np.random.default_rng(seed)
    return {spec.name: _random_array(spec, rng) for spec in specs}


def zeros(specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Make an input of zeros; free sizes become the smallest."""
    return {spec.name: np.zeros(spec.smallest, spec.dtype) for spec in specs}


def ones(specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Make inputs whose whole numbers are 1, as a divisor may be, and floats 0; free sizes are smallest."""
    return {
        name: array if array.dtype.kind == "f" else np.ones_like(array)
        for name, array in zeros(specs).items()
    }


def at_shapes(specs: tuple[TensorSpec, ...], shapes: Shapes) -> tuple[TensorSpec, ...]:
    """Give the inputs with the shapes that `shapes` states; the others as they are.

    Raises:
        ConfigError: a shape for an unknown input, of another rank, or against a fixed size.
    """
    names = [spec.name for spec in specs]
    for name in shapes:
        if name not in names:
            raise ConfigError(
                f"`shapes` {name}: no such input; the inputs are: {', '.join(names)}", field="shapes"
            )
    return tuple(_at_shape(spec, shapes[spec.name]) if spec.name in shapes else spec for spec in specs)


def _at_shape(spec: TensorSpec, shape: tuple[int, ...]) -> TensorSpec:
    fits = len(shape) == len(spec.shape) and all(
        want is None or want == size for want, size in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        shown = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise ConfigError(
            f"`shapes` {spec.name}={','.join(map(str, shape))}: the input's shape is [{shown}]",
            field="shapes",
        )
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=shape)


def is_array(spec: TensorSpec) -> bool:
    """Whether values are arrays; sequences and optionals, of models that run in ONNX Runtime, are not."""
    return "(" not in spec.dtype


def _random_array(spec: TensorSpec, rng: np.random.Generator) -> Array:
    if not is_array(spec):
        raise ConfigError(f"input {spec.name!r} is a {spec.dtype}: no random one can be made")
    shape = spec.smallest
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    numbers = rng.integers(0, 2, shape)
    return (numbers.astype(str) if dtype.kind == "O" else numbers).astype(dtype)
