"""Formats of numbers: what each holds, what its sums are kept in, how near two right answers in it are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = 16  # of the format, relative to an output's largest value: what rounding of every layer adds up to


@dataclass(frozen=True)
class NumberFormat:
    """A format of floating-point numbers.

    name: as numpy and ONNX call it. bytes: of one number in memory. bits: of the significand, with the one
    that is not stored. accumulates_in: the format in which sums of products are kept. tolerance: largest
    accepted difference of two models that compute in it, relative to an output's largest value.
    """

    name: str
    bytes: int
    bits: int
    accumulates_in: str
    tolerance: float

    def lanes(self, vector_bytes: int) -> int:
        """Count the numbers in a vector register of so many bytes."""
        return vector_bytes // self.bytes


def _half(name: str, bits: int) -> NumberFormat:
    return NumberFormat(name, 2, bits, "float32", _STEPS * 2.0 ** (1 - bits))


FLOAT32 = NumberFormat("float32", 4, 24, "float32", 1e-4)
FLOAT16 = _half("float16", 11)
BFLOAT16 = _half("bfloat16", 8)
FORMATS = {each.name: each for each in (FLOAT32, FLOAT16, BFLOAT16)}
QUANTISED = "quantised"


def coarsest(names: Iterable[str]) -> NumberFormat | None:
    """Give the format of the fewest bits; None of no names."""
    return min((FORMATS[name] for name in names if name in FORMATS), key=lambda each: each.bits, default=None)


def precision_words(kinds: Iterable[str]) -> str:
    """Word what code computes in, and what the model's file is written in where that is something else.

    `kinds` are names of formats, and `quantised`.
    """
    found = [kind for kind in (QUANTISED, *FORMATS) if kind in set(kinds) - {FLOAT32.name}]
    return f"{FLOAT32.name} ({' '.join(found)} file)" if found else FLOAT32.name
