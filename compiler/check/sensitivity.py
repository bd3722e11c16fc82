"""How far a model's outputs move when its inputs move by one unit in the last place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from modeldyno.compiler.model.arrays import Array

Feeds = dict[str, Array]
RUNS = 3
_FEW = 8  # steps that rounding may leave of what cancels


def moved(feeds: Feeds, seed: int, units: int = 1) -> Feeds:
    """Move every float by so many units in its last place, up or down; what is infinite or zero stays.

    An input of nothing but zeros moves by units of 1: zero has no last place of its own. So do, where they
    are moved by several units, values below 1: sums with weights and constants round at those.
    """
    rng = np.random.default_rng([abs(seed), units])
    return {name: _moved(array, units, rng) for name, array in feeds.items()}


def _moved(array: Array, units: int, rng: np.random.Generator) -> Array:
    if array.dtype.kind != "f" or not array.size:
        return array
    steps = np.zeros_like(array)
    usual = np.isfinite(array) & (array != 0)
    sizes = abs(array[usual])
    steps[usual] = np.spacing(sizes if units == 1 else np.maximum(sizes, 1).astype(array.dtype))
    if not array.any():
        steps[...] = np.spacing(np.ones((), array.dtype))
    signs = rng.choice(np.array([-units, units], array.dtype), array.shape)
    with np.errstate(over="ignore"):
        there = array + signs * steps
    return np.where(np.isfinite(there), there, array)


def change(before: Array, after: Array) -> float:
    """Give the largest change of an output; infinite between a number and none, and between texts."""
    if before.shape != after.shape:
        return float("inf")
    if before.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(before, after) else float("inf")
    a, b = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)) or not np.array_equal(
        a[~finite], b[~finite], equal_nan=True
    ):
        return float("inf")
    return float(abs(a - b)[finite].max(initial=0.0))


class Step(NamedTuple):
    """One step of an output's format; `left_over`: the output is no more than a few steps of the inputs'."""

    size: float
    left_over: bool = False


def step_of(array: Array, largest: float, feeds: Feeds) -> Step:
    """Give one step of a float output's format at its largest value; 0 for whole numbers.

    An output of zeros, or of a few steps of values as large as the inputs (and as 1: weights are as large),
    is what differences of such values left over: it has their step.
    """
    if array.dtype.kind != "f":
        return Step(0.0)
    given = max((_largest(each) for each in feeds.values() if each.dtype.kind == "f"), default=1.0)
    unit = _spacing(max(given, 1.0), array.dtype)
    if largest <= _FEW * unit and _left_over(array):
        return Step(unit, left_over=True)
    return Step(_spacing(largest, array.dtype))


def _left_over(array: Array) -> bool:
    """Whether all values are whole steps of values near 1, as their differences are and small values not."""
    quantum = np.spacing(np.ones((), array.dtype)) / _FEW
    finite = array[np.isfinite(array)]
    return bool((np.fmod(finite, quantum) == 0).all())


def _spacing(size: float, dtype: Any) -> float:
    limits = np.finfo(dtype)
    return float(np.spacing(np.asarray(min(size, float(limits.max)), dtype)))


def _largest(array: Array) -> float:
    finite = array[np.isfinite(array)]
    return float(abs(finite).max(initial=0.0))
