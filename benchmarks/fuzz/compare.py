"""Comparing outputs with the source model's, and what the difference is called.

A difference is `wrong` unless the output lies behind a jump (a rounding, an argmax of inexact numbers), or
the source model's own answers to inputs that are off by an ulp differ as much, or a run in double precision
agrees with the artifact and not with the source model: then it is `loose`. On inputs with NaN and infinities
it is `nan`, or `named` where the manifest names an operator before that output. So is a NaN or an infinity
that only one of the two has on other inputs, where values inside of the source model overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.fuzz.draw import NON_FINITE, NORMAL
from benchmarks.fuzz.graph import Array
from benchmarks.fuzz.referee import sides_with

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-3
SHAKEN = 3
_NOISE_FACTOR = 20
_OVERFLOW = 1e37  # whether a number this large overflows is a matter of rounding
_MOST_NOTES = 12
OVERFLOW = "NaN/Inf"
Run = Callable[[dict[str, Array]], Mapping[str, Array]]


@dataclass
class Differences:
    """What was found on one model, in words, by what it counts as."""

    wrong: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    nan: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)  # as nan, but the manifest says so
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The worst that was found."""
        worst = (("WRONG", self.wrong), ("loose", self.loose), ("nan-differs", self.nan))
        return next((name for name, found in worst if found), "ok")

    def as_row(self) -> dict[str, Any]:
        """Give what is kept of it."""
        kept = {
            name: getattr(self, name)[:_MOST_NOTES] for name in ("wrong", "loose", "nan", "named", "notes")
        }
        return {"verdict": self.verdict, **{name: each for name, each in kept.items() if each}}


@dataclass(frozen=True)
class Judge:
    """Runs source model and artifact on the same inputs; `jumpy` names outputs behind a jump.

    `behind` gives the operators that an output hangs on, `named` those that the manifest names as differing
    on NaN and infinities. `inner` runs the source model for every tensor, and `before` gives the names of
    those that an output hangs on. `referee` gives outputs in double precision, as far as it can.
    """

    source: Run
    ours: Run
    jumpy: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    behind: Callable[[str], frozenset[str]] = lambda _name: frozenset()
    inner: Run = lambda _given: {}
    before: Callable[[str], frozenset[str]] = lambda _name: frozenset()
    referee: Run = lambda _given: {}

    def compare(self, kind: int, given: dict[str, Array], found: Differences) -> None:
        """Add what differs on these inputs."""
        try:
            wanted = self.source(given)
            shaken = [self.source(shake(given, number)) for number in range(SHAKEN)]
        except Exception as error:  # the source model refuses these inputs: so may we
            found.notes.append(f"kind {kind}: the source model refuses: {str(error)[:100]}")
            return
        got = self.ours(given)
        for name, right in wanted.items():
            noise = max(spread(right, other[name]) for other in shaken)
            why = difference(right, np.asarray(got[name]), TOLERANCE + _NOISE_FACTOR * noise)
            if why:
                others = [other[name] for other in shaken]
                special = kind == NON_FINITE or (OVERFLOW in why and self._overflows(kind, name, given))
                filed = self._filed(kind, name, (right, others), found, special=special)
                if filed is found.wrong and self._is_its_own(name, given, (right, np.asarray(got[name]))):
                    filed, why = found.loose, f"{why}; in double precision the artifact is right"
                filed.append(f"kind {kind} {name}: {why}")

    def _is_its_own(self, name: str, given: dict[str, Array], answers: tuple[Array, Array]) -> bool:
        """Whether a difference is an error of the source model's runtime."""
        right, got = answers
        return sides_with(self.referee(given).get(name), got, right, TOLERANCE)

    def _overflows(self, kind: int, name: str, given: dict[str, Array]) -> bool:
        """Whether the source model's values before an output are not finite, though its inputs are."""
        if kind == NORMAL:
            return False
        before = self.before(name)
        values = [np.asarray(value) for tensor, value in self.inner(given).items() if tensor in before]
        return any(value.dtype.kind == "f" and not np.isfinite(value).all() for value in values)

    def _filed(
        self, kind: int, name: str, answers: tuple[Array, list[Array]], found: Differences, *, special: bool
    ) -> list[str]:
        if special:
            return found.named if self.named & self.behind(name) else found.nan
        right, others = answers
        shaky = kind != NORMAL and any(difference(right, other, np.inf) for other in others)
        return found.loose if shaky or name in self.jumpy else found.wrong


def shake(given: dict[str, Array], seed: int) -> dict[str, Array]:
    """Give the same inputs, off by about an ulp: the results then differ by the model's own sensitivity."""
    r = np.random.default_rng(seed)

    def moved(array: Array) -> Array:
        signs = r.choice([-1, 1], array.shape)
        return (array * (1 + 2e-7 * signs)).astype(array.dtype) if array.dtype.kind == "f" else array

    return {name: moved(array) for name, array in given.items()}


def spread(a: Array, b: Array) -> float:
    """How far two answers are apart, relative to the largest number."""
    if a.dtype.kind != "f" or a.shape != b.shape:
        return 0.0
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return 0.0
    x, y = a[both].astype(np.float64), b[both].astype(np.float64)
    return float(np.abs(x - y).max() / max(np.abs(x).max(), 1e-6))


def difference(right: Array, got: Array, tolerance: float) -> str:
    """Words for the first difference, relative to the output's largest number; empty where there is none."""
    if right.shape != got.shape or right.dtype != got.dtype:
        return f"{got.dtype} {got.shape}, expected {right.dtype} {right.shape}"
    if right.dtype.kind != "f":
        count = int((right != got).sum())
        return f"{count} of {right.size} elements differ" if count else ""
    right, got = _without_overflow(right), _without_overflow(got)
    finite = np.isfinite(right)
    unlike = ~((right == got) | (np.isnan(right) & np.isnan(got))) & ~(finite & np.isfinite(got))
    if unlike.any():
        at = tuple(int(place) for place in np.argwhere(unlike)[0])
        where = f"at {list(at)} {got[at]}, expected {right[at]}"
        return f"{int(unlike.sum())} of {right.size} differ in {OVERFLOW}: {where}"
    if not finite.any():
        return ""
    w, h = right[finite].astype(np.float64), got[finite].astype(np.float64)
    error = float(np.abs(w - h).max() / max(np.abs(w).max(), 1e-6))
    return f"relative error {error:.3g}" if error > tolerance else ""


def _without_overflow(array: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(array) > _OVERFLOW, np.sign(array) * np.asarray(np.inf, array.dtype), array)


def ancestry(nodes: Iterable[onnx.NodeProto]) -> Callable[[str], frozenset[str]]:
    """Give the function from a tensor to the operators that it hangs on."""
    return _collected(nodes, lambda node: [node.op_type])


def tensors_before(nodes: Iterable[onnx.NodeProto]) -> Callable[[str], frozenset[str]]:
    """Give the function from a tensor to those that it hangs on, itself among them."""
    return _collected(nodes, lambda node: [*node.input, *node.output])


def _collected(
    nodes: Iterable[onnx.NodeProto], own: Callable[[onnx.NodeProto], Iterable[str]]
) -> Callable[[str], frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for node in nodes:
        here = frozenset(own(node)).union(*(found.get(name, frozenset()) for name in node.input))
        found.update(dict.fromkeys(node.output, here))
    return lambda name: found.get(name, frozenset())
