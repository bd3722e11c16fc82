"""Two outputs, one of the source model and one of the artifact: how far they are apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from modeldyno.compiler.model.arrays import Array
from modeldyno.runtime.records.parity import Parity

NOTHING = np.empty(0)  # what is missing differs in shape, unless it is missing in both


def arrays_of(values: dict[str, Any]) -> dict[str, Array]:
    """Give every array: of a sequence or a map those in it, by their places."""
    found: dict[str, Array] = {}
    for name, value in values.items():
        if isinstance(value, list):
            found[f"len({name})"] = np.asarray(len(value))
            found |= arrays_of({f"{name}[{place}]": each for place, each in enumerate(value)})
        elif isinstance(value, dict):
            found[f"keys({name})"] = np.asarray(list(value), object)
            found[f"values({name})"] = np.asarray(list(value.values()))
        elif value is not None:
            found[name] = np.asarray(value)
    return found


def named(expected: dict[str, Any], found: dict[str, Any]) -> dict[str, Array]:
    """Give the artifact's arrays by the source model's names."""
    return arrays_of(dict(zip(expected, found.values(), strict=True)))


def other_kind(name: str, wanted: Array, got: Array, reference: str) -> str:
    """Say where an output has another shape or type: figures of a difference say nothing there."""
    is_, was = (f"{array.dtype.name} {list(array.shape)}" for array in (got, wanted))
    return "" if is_ == was else f"output {name!r} is {is_}, and {was} in {reference}"


def compare(name: str, expected: Array, found: Array) -> Parity:
    """Give max |a - b|, the same relative to max |b|, and the cosine, over one output.

    All is infinitely far off when shapes or types differ, or where only one of the two is infinite or NaN.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return Parity(output=name, max_abs=float("inf"), max_rel=float("inf"), cosine=0.0)
    if expected.dtype == object:  # text: the same or not
        off = 0.0 if np.array_equal(expected, found) else float("inf")
        return Parity(output=name, max_abs=off, max_rel=off, cosine=float(not off))
    a, b = found.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    not_finite = float(1 - np.isfinite(b).mean()) if b.size else 0.0
    if a.size == 0 or np.array_equal(a, b, equal_nan=True):
        return Parity(output=name, max_abs=0.0, max_rel=0.0, cosine=1.0, not_finite=not_finite)
    # An infinity that both have (a mask, say) is no difference; the finite rest is compared.
    finite = np.isfinite(b)
    same_elsewhere = np.array_equal(a[~finite], b[~finite], equal_nan=True)
    a, b = a[finite], b[finite]
    if not (same_elsewhere and np.isfinite(a).all()):
        return Parity(output=name, max_abs=float("inf"), max_rel=float("inf"), cosine=0.0)
    max_abs = float(np.abs(a - b).max())
    largest = float(np.abs(b).max())
    return Parity(
        output=name,
        max_abs=max_abs,
        max_rel=max_abs / largest if largest else float("inf"),
        cosine=_cosine(a, b),
        not_finite=not_finite,
    )


def _cosine(a: Any, b: Any) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0
