"""Is an output the source model's: yes, no, or not to be told.

An output passes if max |a - b| <= tolerance x max |b| + 8 delta. `delta` is the largest change of the source
model's output over three runs whose float inputs are moved by one unit in the last place, and at least one
step of the output's format at max |b|. Whole numbers must be equal, unless a tolerance is given.

Not decided is a difference above the tolerance

- of whole numbers, where the source model's own change when the inputs move: an index that a tie decides;
- of floats up to 64 deltas, where delta is more than the tolerance (and than 8 steps of the format: half
  precision gives no better);
- up to 8 times as large as a jump of the source model, by more than twice what is allowed, when its inputs
  move by 8 units: a decision inside it;
- of up to 64 steps of values as large as the inputs, where the output is what differences of such values left
  over; an output of zeros passes up to 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from modeldyno.compiler.check.sensitivity import Step, step_of
from modeldyno.compiler.model.arrays import Array
from modeldyno.runtime.records.parity import Parity

STEPS = 8  # deltas that a difference may have above the tolerance
_SENSITIVE = 64  # deltas that are no proof of a fault where the model is that sensitive: its sums round too
_JUMP = 2  # times what is allowed; a smooth model moves by less than that
Verdict = Literal["same", "differs", "not decided"]
Change = Callable[[int], float]  # the largest of the output, in three runs on inputs moved by so many units


@dataclass(frozen=True)
class Bounds:
    """Accepted shares of an output's largest value: of floats, and of whole numbers."""

    floats: float
    whole: float = 0.0

    def of(self, output: Array) -> float:
        """Give that of an output."""
        return self.floats if output.dtype.kind == "f" else self.whole

    def of_steps(self, output: Array) -> Bounds:
        """Give the bounds of an output of whole numbers that floats are rounded to: they may be one off."""
        largest = _largest(output)
        return replace(self, whole=max(self.whole, 1 / largest if largest else 0.0))


@dataclass(frozen=True)
class Judgement:
    """What was found of one output on one sample, and how much it may differ."""

    verdict: Verdict
    row: Parity
    allowed: float

    @property
    def share(self) -> float:
        """The difference as a share of what is allowed."""
        if not self.row.max_abs:
            return 0.0
        return self.row.max_abs / self.allowed if self.allowed else float("inf")


def judge(
    row: Parity,
    wanted: Array,
    feeds: dict[str, Array],
    bounds: Bounds,
    change: Change,
    *,
    always_move: bool = False,
) -> Judgement:
    """Judge one output by its figures `row`; `wanted` is what the source model gave on `feeds`.

    The source model is run on moved inputs only where the tolerance does not decide, or with `always_move`.
    """
    largest = _largest(wanted)
    tolerance = bounds.of(wanted)
    first = tolerance * largest if largest else 0.0
    measured = change(1) if always_move or row.max_abs > first else 0.0
    step = step_of(wanted, largest, feeds)
    delta = max(measured, step.size)
    allowed = first + STEPS * delta
    verdict = _verdict(row.max_abs, first, measured, step, largest)
    if verdict == "differs" and _jumps(row.max_abs, change(STEPS), allowed, step):
        verdict = "not decided"
    told = row.model_copy(
        update={
            "max_rel": row.max_abs / largest if largest else row.max_abs,
            "tolerance": tolerance,
            "delta": delta if np.isfinite(delta) else None,
            "decided": verdict != "not decided",
        }
    )
    return Judgement(verdict, told, allowed)


def _verdict(found: float, first: float, measured: float, step: Step, largest: float) -> Verdict:
    if found <= first:
        return "same"
    if not step.size:  # whole numbers
        return "not decided" if measured > max(first, 0.0) else "differs"
    allowed = first + STEPS * max(measured, step.size)
    if measured > max(first, STEPS * step.size):
        return "not decided" if found <= first + _SENSITIVE * measured else "differs"
    if step.left_over:
        return _left_over(found, first, max(measured, step.size), largest)
    return "same" if found <= allowed else "differs"


def _left_over(found: float, first: float, delta: float, largest: float) -> Verdict:
    """Judge what differences of larger values left over; how large those were is not known."""
    if found > first + _SENSITIVE * delta:
        return "differs"
    return "same" if found <= first + STEPS * delta and not largest else "not decided"


def _jumps(found: float, jump: float, allowed: float, step: Step) -> bool:
    """Whether a jump of the model can be what is seen: of floats, that is not far larger."""
    return jump > max(_JUMP * allowed, 0.0) and (not step.size or found <= STEPS * jump)


def _largest(wanted: Array) -> float:
    if wanted.dtype.kind not in "fiub":
        return 0.0
    finite = wanted[np.isfinite(wanted)].astype(np.float64)
    return float(abs(finite).max(initial=0.0))
