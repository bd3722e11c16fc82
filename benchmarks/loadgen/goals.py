"""Figures held against their goals; pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

MEAN_SHARE, MEAN_MS = 0.05, 0.2
P99_SHARE = 0.1
ADDED_US = 150.0
COVERED_SHARE = 0.9


@dataclass(frozen=True)
class Verdict:
    """One figure beside what it should be."""

    goal: str
    found: str
    met: bool

    @property
    def word(self) -> str:
        """Met, or not."""
        return "met" if self.met else "not met"

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def near_mean(name: str, found_ms: float, truth_ms: float, chance_ms: float = 0.0) -> Verdict:
    """A mean is within 5 % of the truth, or within 0.2 ms; or within what its sample's chance does."""
    off = found_ms - truth_ms
    return Verdict(
        goal=f"{name}: mean within {MEAN_SHARE:.0%} or {MEAN_MS:g} ms{_or_chance(chance_ms)}",
        found=f"{found_ms:.3f} ms for {truth_ms:.3f} ms: {off:+.3f} ms, {off / truth_ms:+.1%}",
        met=abs(off) <= max(MEAN_MS, MEAN_SHARE * truth_ms, chance_ms),
    )


def near_p99(name: str, found_ms: float | None, truth_ms: float, chance_ms: float = 0.0) -> Verdict:
    """A 99th percentile is within 10 % of the truth; or within what its sample's chance does."""
    goal = f"{name}: p99 within {P99_SHARE:.0%}{_or_chance(chance_ms)}"
    if found_ms is None:
        return Verdict(goal, "too few samples to state it", met=False)
    off = found_ms / truth_ms - 1
    found = f"{found_ms:.3f} ms for {truth_ms:.3f} ms: {off:+.1%}"
    return Verdict(goal, found, met=abs(off) <= max(P99_SHARE, chance_ms / truth_ms))


def _or_chance(chance_ms: float) -> str:
    return f" or chance ({chance_ms:.2f} ms)" if chance_ms else ""


def covers(name: str, covered: int, repeats: int) -> Verdict:
    """Of ten 95 % intervals at least nine hold the truth."""
    least = math.ceil(COVERED_SHARE * repeats)
    return Verdict(
        goal=f"95 % intervals of {name} hold the truth in {least} of {repeats} repeats",
        found=f"{covered} of {repeats}",
        met=covered >= least,
    )


def adds_little(added_us: float, least_us: float, most_us: float) -> Verdict:
    """The generator adds at most 0.15 ms to what wrk sees; rounds that differ by more decide nothing."""
    goal = f"adds at most {ADDED_US:g} us to wrk's median at one connection"
    found = f"{added_us:.0f} us, rounds from {least_us:.0f} to {most_us:.0f} us"
    decided = most_us - least_us <= ADDED_US
    return Verdict(
        goal, found if decided else f"{found}: too noisy to tell", met=decided and added_us <= ADDED_US
    )


def chance_removed(measured_ms: float, same_arrivals_ms: float, formula_ms: float) -> float:
    """Take out of a measurement what its sample of arrivals does, which is known without an error.

    The same arrivals and services worked out without a network are a control variate whose expectation is the
    formula: what is left has the formula as its truth, too, but next to none of the sample's chance.
    """
    return measured_ms - same_arrivals_ms + formula_ms
