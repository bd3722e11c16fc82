"""Whether the requests of a model may be joined: its rows must not depend on one another."""

from __future__ import annotations

import numpy as np

from dyno.records import TensorSpec
from serving.backends import Backend
from serving.npy import shape_text

_SEED = 0
# Other code paths of a library for other numbers of rows round otherwise; rows that depend on one another
# differ by more than that.
_TOLERANCES = {"float16": 3e-2, "float32": 1e-3, "float64": 1e-6}


def why_not_joined(backend: Backend) -> str | None:
    """Say why requests can't be joined, or None when they can.

    The shapes must be free in the first axis; then two single rows of random numbers are run alone and
    together. Whatever mixes rows (a softmax over the first axis, a sequence-first network, a scale that is
    quantized from the whole tensor) shows there.
    """
    for spec in (*backend.inputs, *backend.outputs):
        if not spec.shape or spec.shape[0] is not None:
            return f"{spec.name!r} has the fixed shape {shape_text(spec.shape)}"
    generator = np.random.default_rng(_SEED)
    # Of unlike size, so that a scale taken from both is seen.
    one, other = ({spec.name: _row(spec, generator, size) for spec in backend.inputs} for size in (1.0, 30.0))
    both = {name: np.concatenate([one[name], other[name]]) for name in one}
    try:
        alone, second, together = backend.run(one), backend.run(other), backend.run(both)
    except Exception as error:  # a model may raise anything on numbers that mean nothing to it
        return f"it fails on one or two rows of random numbers: {error}"
    for spec in backend.outputs:
        found = together[spec.name]
        if found.shape[:1] != (2,) or not _same(found, (alone[spec.name], second[spec.name])):
            return f"rows of {spec.name!r} are not those that they are alone: they depend on one another"
    return None


def _row(spec: TensorSpec, generator: np.random.Generator, size: float) -> np.ndarray:
    shape = [1, *spec.smallest[1:]]
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return (generator.normal(size=shape) * size).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)


def _same(found: np.ndarray, rows: tuple[np.ndarray, np.ndarray]) -> bool:
    for row, want in zip(np.split(found, 2), rows, strict=True):
        if row.shape != want.shape:
            return False
        tolerance = _TOLERANCES.get(str(want.dtype), 0.0)
        scale = float(np.nanmax(np.abs(want), initial=0.0)) if tolerance else 0.0
        if not np.allclose(row, want, rtol=tolerance, atol=tolerance * scale, equal_nan=tolerance > 0):
            return False
    return True
