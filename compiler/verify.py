"""Parity: the artifact's outputs against the source model's, on the same seeded random input."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from compiler.source import Array, Source
from dyno.errors import ParityError
from runtime.feeds import random_feeds
from runtime.manifest import Parity, ParityReport


class Runs(Protocol):
    """A session, here or emulated."""

    def run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Give the outputs."""
        ...


def check_parity(source: Source, session: Runs, *, seed: int, tolerance: float, target: str) -> ParityReport:
    """Compare every output and give the figures.

    Raises:
        ParityError: an output is further off than `tolerance`, not finite where the source's is, or of
            another shape or type.
    """
    feeds = source.feeds(seed) if source.feeds else random_feeds(source.inputs, seed)
    expected = source.reference(feeds)
    found = session.run(feeds)
    pairs = _pairs(_arrays(expected), _arrays(dict(zip(expected, found.values(), strict=True))))
    for (name, wanted), got in pairs:
        _check_kind(source, name, (wanted, got), target)
    report = ParityReport(
        reference=source.reference_name,
        seed=seed,
        tolerance_max_rel=tolerance,
        outputs=tuple(compare(name, wanted, got) for (name, wanted), got in pairs),
    )
    if not report.outputs:  # optionals that are empty
        return report
    worst = max(report.outputs, key=lambda output: output.max_rel)
    # Not "worst > tolerance": a NaN compares false with everything and must fail too.
    if not worst.max_rel <= tolerance:
        raise ParityError(
            f"{source.name}: output {worst.output!r} differs from {report.reference} by {worst.max_rel:.2e} "
            f"of its largest value (tolerance {tolerance:.0e}, cosine {worst.cosine:.6f}); "
            "the artifact is not kept. A larger tolerance can be set with --tolerance",
            stage="verify",
            target=target,
        )
    return report


def _arrays(values: dict[str, Any]) -> dict[str, Array]:
    """Give every array: of a sequence or a map those in it, by their places."""
    found: dict[str, Array] = {}
    for name, value in values.items():
        if isinstance(value, list):
            found[f"len({name})"] = np.asarray(len(value))
            found |= _arrays({f"{name}[{place}]": each for place, each in enumerate(value)})
        elif isinstance(value, dict):
            found[f"keys({name})"] = np.asarray(list(value), object)
            found[f"values({name})"] = np.asarray(list(value.values()))
        elif value is not None:
            found[name] = np.asarray(value)
    return found


def _pairs(expected: dict[str, Array], found: dict[str, Array]) -> list[tuple[tuple[str, Array], Array]]:
    nothing = np.empty(0)  # what is missing differs in shape, unless it is missing in both
    return [((name, wanted), found.get(name, nothing)) for name, wanted in expected.items()]


def _check_kind(source: Source, name: str, pair: tuple[Array, Array], target: str) -> None:
    """Refuse an output of another shape or type, in words: figures of a difference say nothing there."""
    wanted, got = (f"{array.dtype.name} {list(array.shape)}" for array in pair)
    if wanted != got:
        raise ParityError(
            f"{source.name}: output {name!r} is {got}, and {wanted} in {source.reference_name}; "
            "the artifact is not kept",
            stage="verify",
            target=target,
        )


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
