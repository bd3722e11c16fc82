"""Pairs in which the machine did something else: both blocks are dropped, or none; pure.

The limits are fixed before the first block. They look at what else ran, never at latency: dropping slow
blocks would make any two candidates alike. Where one side's blocks are dropped more often than the other's
(sign test, 1 %), dropping is not fair, and what is left is weak.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from modeldyno.trials.compare.blocks import Pair, Readings
from modeldyno.trials.compare.plan import FEWEST_PAIRS

UNFAIR = 0.01
IDLE_TIMES = 3.0


@dataclass(frozen=True)
class TaintLimits:
    """What a block may show at most; `frequency` at least."""

    foreign_cpu: float = 0.05
    steal: float = 0.02
    throttled: float = 0.0
    frequency: float = 0.95
    generator_lag_ms: float = 5.0
    yardstick: float = 1.1
    void_load: float = 0.0

    def exceeded(self, readings: Readings) -> tuple[str, ...]:
        """Names of the readings that are beyond their limit; what can't be read is not."""
        return tuple(field.name for field in fields(self) if self._beyond(field.name, readings))

    def _beyond(self, name: str, readings: Readings) -> bool:
        value, limit = getattr(readings, name), getattr(self, name)
        if value is None:
            return False
        return bool(value < limit if name == "frequency" else value > limit)


@dataclass(frozen=True)
class Sorted:
    """The pairs of a run by whether the machine left them alone."""

    clean: tuple[Pair, ...]
    tainted: tuple[Pair, ...]
    by_baseline: int
    """Pairs dropped for the baseline's block alone."""
    by_candidate: int
    """Pairs dropped for the candidate's block alone."""
    reasons: dict[str, int]
    """How many blocks were beyond each limit."""

    @property
    def unfair(self) -> bool:
        """Whether the sides differ in what was dropped."""
        return sign_test(self.by_baseline, self.by_candidate) < UNFAIR

    @property
    def judged(self) -> tuple[Pair, ...]:
        """The clean pairs; all, where these are too few: the trimmed mean bears a fifth of bad blocks."""
        if len(self.clean) >= FEWEST_PAIRS or not self.tainted:
            return self.clean
        return tuple(sorted((*self.clean, *self.tainted), key=lambda pair: pair.number))

    @property
    def weak(self) -> tuple[str, ...]:
        """Why a verdict from these pairs is weak, in words; empty where it is not."""
        found = []
        if self.unfair:
            found.append(
                f"blocks were dropped {self.by_baseline} times for the baseline alone and "
                f"{self.by_candidate} times for the candidate alone: what else runs disturbs one more"
            )
        if len(self.judged) != len(self.clean):
            found.append(
                f"only {len(self.clean)} of {len(self.judged)} pairs were undisturbed: all of them are judged"
            )
        return tuple(found)


def sort_pairs(pairs: Iterable[Pair], limits: TaintLimits) -> Sorted:
    """Judge each pair by the readings of both blocks."""
    clean, tainted = list[Pair](), list[Pair]()
    alone, reasons = [0, 0], dict[str, int]()
    for pair in pairs:
        beyond = [limits.exceeded(block.readings) for block in (pair.baseline, pair.candidate)]
        (tainted if any(beyond) else clean).append(pair)
        for side, other in ((0, 1), (1, 0)):
            alone[side] += bool(beyond[side]) and not beyond[other]
            for name in beyond[side]:
                reasons[name] = reasons.get(name, 0) + 1
    return Sorted(tuple(clean), tuple(tainted), alone[0], alone[1], reasons)


def limits_from(idle: Sequence[Readings], least: TaintLimits | None = None) -> TaintLimits:
    """Limits for a machine that is never quite alone: three times what it shows before the first block.

    Only what others take is widened, and never to more than a quarter of a core: of clock and fixed work the
    readings before the first block are the unit.
    """
    least = least or TaintLimits()
    taken = [readings.foreign_cpu for readings in idle if readings.foreign_cpu is not None]
    if not taken:
        return least
    usual = sorted(taken)[len(taken) // 2]
    widened = {field.name: getattr(least, field.name) for field in fields(least)}
    widened["foreign_cpu"] = min(0.25, max(least.foreign_cpu, IDLE_TIMES * usual))
    return TaintLimits(**widened)


def sign_test(one: int, other: int) -> float:
    """Two-sided p-value of a fair coin that fell `one` to `other`.

    >>> sign_test(0, 8)
    0.0078125
    """
    tosses, few = one + other, min(one, other)
    tail = sum(math.comb(tosses, k) for k in range(few + 1)) / 2**tosses
    return float(min(1.0, 2 * tail))
