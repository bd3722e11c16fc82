"""Seeded inputs that any model takes: what parity is checked on and what unspecified payloads hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dyno.errors import ConfigError
from dyno.records import TensorSpec

Array = npt.NDArray[Any]


def random_feeds(specs: tuple[TensorSpec, ...], seed: int) -> dict[str, Array]:
    """Make one array per input: floats normal(0, 1); the rest 0 or 1 (valid ids, masks, segments).

    Raises:
        ConfigError: an input is no array.
    """
    rng = np.random.default_rng(seed)
    return {spec.name: _random_array(spec, rng) for spec in specs}


def is_array(spec: TensorSpec) -> bool:
    """Whether values are arrays; sequences and optionals, of models that run in ONNX Runtime, are not."""
    return "(" not in spec.dtype


def _random_array(spec: TensorSpec, rng: np.random.Generator) -> Array:
    if not is_array(spec):
        raise ConfigError(f"input {spec.name!r} is a {spec.dtype}: no random one can be made")
    shape = tuple(1 if size is None else size for size in spec.shape)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    numbers = rng.integers(0, 2, shape)
    return (numbers.astype(str) if dtype.kind == "O" else numbers).astype(dtype)
