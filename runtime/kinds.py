"""Kinds of values that show what one sample of normal numbers does not: large, small, negative, equal, tied.

A kind says what all inputs hold: numbers of a float input, and whole numbers of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Make = Callable[[np.random.Generator, Shape], Array]


@dataclass(frozen=True)
class Kind:
    """How to draw numbers; `whole` gets the bounds of the type too."""

    name: str
    real: Make
    whole: Callable[[np.random.Generator, Shape, int, int], Array]


def draw(kind: Kind, rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    """Make one array of a kind."""
    made = np.dtype(dtype)
    if made.kind == "f":
        most = float(np.finfo(made).max) / 4
        numbers = kind.real(rng, shape)
        return np.where(np.isinf(numbers), numbers, np.clip(numbers, -most, most)).astype(made)
    if made.kind == "b":
        return rng.integers(0, 2, shape).astype(made)
    bounds = np.iinfo(made)
    return kind.whole(rng, shape, int(bounds.min), int(bounds.max)).astype(made)


def _ids(rng: np.random.Generator, shape: Shape, _low: int, _high: int) -> Array:
    return rng.integers(0, 2, shape)


def _few(rng: np.random.Generator, shape: Shape, low: int, high: int) -> Array:
    return rng.integers(max(low, -9), min(high, 9), shape)


def _near_low(rng: np.random.Generator, shape: Shape, low: int, _high: int) -> Array:
    # Never the least itself: divided by -1 it ends the process.
    return low + 1 + rng.integers(0, 3, shape)


def _near_high(rng: np.random.Generator, shape: Shape, _low: int, high: int) -> Array:
    return high - rng.integers(0, 3, shape)


def _normal(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.normal(size=shape)


def _masked(rng: np.random.Generator, shape: Shape) -> Array:
    return np.where(rng.random(shape) < 0.3, -np.inf, rng.normal(size=shape))


_REAL: Mapping[str, Make] = {
    "normal": _normal,
    "30 times normal": lambda rng, shape: 30 * rng.normal(size=shape),
    "0 to 1": lambda rng, shape: rng.random(shape),
    "0 to 255": lambda rng, shape: 255 * rng.random(shape),
    "negative": lambda rng, shape: -1 - 10 * np.abs(rng.normal(size=shape)),
    "positive": lambda rng, shape: 1 + 10 * np.abs(rng.normal(size=shape)),
    "large": lambda rng, shape: 1e4 * rng.normal(size=shape),
    "small": lambda rng, shape: 1e-4 * rng.normal(size=shape),
    "large and small": lambda rng, shape: rng.normal(size=shape) * 10 ** rng.uniform(-4, 4, shape),
    "zeros": lambda _rng, shape: np.zeros(shape),
    "all equal": lambda rng, shape: np.full(shape, rng.normal() - 2),
    "ties": lambda rng, shape: rng.integers(-2, 1, shape).astype(np.float64),
}
KINDS = tuple(Kind(name, real, _ids) for name, real in _REAL.items())
_NEGATIVE, _POSITIVE = (Kind(name, _REAL[name], _ids) for name in ("negative", "positive"))
# One kind for each input, in turn: products of two inputs have either sign only so.
SIGNS = ((_NEGATIVE, _POSITIVE), (_POSITIVE, _NEGATIVE))
WHOLE_KINDS = (
    Kind("few whole numbers", _normal, _few),
    Kind("near the least whole number", _normal, _near_low),
    Kind("near the largest whole number", _normal, _near_high),
)
MASKED = Kind("minus infinity here and there", _masked, _ids)
FEW = WHOLE_KINDS[0]
