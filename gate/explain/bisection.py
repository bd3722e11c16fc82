"""Which of many is the first bad one: `--bisect GOOD..BAD`. Pure: who judges one is given as a function.

Each step judges the middle against GOOD, so that a slow drift over many small steps is found where it passes
the limit. All steps together have the error alpha: each has alpha / (1 + ceil(log2 n)) of it, n the number of
steps from GOOD to BAD, and 1 for BAD itself, which is judged first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateVerdict

Judge = Callable[[str, float, int], GateVerdict | None]
"""Judges a reference against GOOD: with what error, for how many times the usual time. None: it can't be."""


@dataclass(frozen=True)
class Step:
    """One judgement; verdict None: it could not be measured (it does not build, say)."""

    reference: str
    verdict: GateVerdict | None
    times: int


@dataclass(frozen=True)
class Bisection:
    """What was found.

    good, bad: the last that is not worse than GOOD, and the first that is, as far as is known.
    between: what lies between them, in order, and is not decided; empty where `bad` is the first bad one.
    reason: why it ended before; empty where it did not.
    """

    good: str
    bad: str
    between: tuple[str, ...]
    steps: tuple[Step, ...]
    reason: str = ""

    @property
    def decided(self) -> bool:
        """Whether `bad` is the first bad one."""
        return not self.reason and not self.between

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        if self.decided:
            return f"{self.bad} is the first that is slower than allowed; {self.good} is the last that is not"
        among = f"; between {self.good} and {self.bad} nothing is decided" if self.between else ""
        return f"{self.reason}{among}"


def planned_steps(number: int) -> int:
    """How many of `number` references are judged at most, GOOD apart, where each is decided at once."""
    return 1 + max(0, number - 2).bit_length()


def bisect(references: Sequence[str], judge: Judge, alpha: float) -> Bisection:
    """Find the first bad one of `references`, of which the first is GOOD and the last BAD.

    An inconclusive one is judged once more for twice the time; if that is inconclusive too, it ends with the
    range. For one that can't be measured its neighbours are tried.

    Raises:
        ConfigError: fewer than two references.
    """
    if len(references) < 2:
        raise ConfigError("nothing to bisect: name a good one and a bad one, GOOD..BAD", field="bisect")
    return _Search(references, judge, alpha / planned_steps(len(references))).run()


class _Search:
    def __init__(self, references: Sequence[str], judge: Judge, alpha: float) -> None:
        self.references, self.judge, self.alpha = references, judge, alpha
        self.good, self.bad = 0, len(references) - 1
        self.steps: list[Step] = []
        self.skipped: set[int] = set()

    def run(self) -> Bisection:
        last = self._judged(self.bad)
        if last != "regression":
            return self._ended(_no_regression(self.references[self.bad], last))
        while (place := self._next()) is not None:
            verdict = self._judged(place)
            if verdict is None:
                self.skipped.add(place)
            elif verdict == "inconclusive":
                name = self.references[place]
                return self._ended(f"{name} could not be told from {self.references[0]} in twice the time")
            elif verdict == "regression":
                self.bad = place
            else:
                self.good = place
        left = [self.references[place] for place in range(self.good + 1, self.bad)]
        return self._ended(f"{', '.join(left)} could not be measured" if left else "")

    def _next(self) -> int | None:
        """Give the place nearest to the middle that can be judged."""
        middle = (self.good + self.bad) / 2
        places = (each for each in range(self.good + 1, self.bad) if each not in self.skipped)
        return min(places, key=lambda each: (abs(each - middle), each), default=None)

    def _judged(self, place: int) -> GateVerdict | None:
        for times in (1, 2):
            verdict = self.judge(self.references[place], self.alpha, times)
            self.steps.append(Step(self.references[place], verdict, times))
            if verdict != "inconclusive":
                break
        return verdict

    def _ended(self, reason: str) -> Bisection:
        return Bisection(
            good=self.references[self.good],
            bad=self.references[self.bad],
            between=tuple(self.references[self.good + 1 : self.bad]),
            steps=tuple(self.steps),
            reason=reason,
        )


def _no_regression(reference: str, verdict: GateVerdict | None) -> str:
    if verdict is None:
        return f"{reference} could not be measured"
    if verdict == "inconclusive":
        return f"{reference} could not be told from the good one in twice the time: nothing to bisect"
    return f"{reference} is no regression ({verdict}): nothing to bisect"
