"""Seeded inputs that any model takes: what parity is checked on and what unspecified payloads hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dyno.records import TensorSpec

Array = npt.NDArray[Any]


def random_feeds(specs: tuple[TensorSpec, ...], seed: int) -> dict[str, Array]:
    """Make one array per input: floats normal(0, 1); the rest 0 or 1 (valid ids, masks, segments).

    A free size is the smallest there is.
    """
    rng = np.random.default_rng(seed)
    return {spec.name: _random_array(spec, rng) for spec in specs}


def _random_array(spec: TensorSpec, rng: np.random.Generator) -> Array:
    shape = spec.smallest
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)
