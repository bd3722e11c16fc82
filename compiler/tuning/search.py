"""The search for one kernel's best choice: build candidates, halve them round by round, then a last duel."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from modeldyno.compiler.kernels.choice import Choice, Workload
from modeldyno.compiler.tuning.builder import Builder
from modeldyno.compiler.tuning.decide import FEWEST_ROUNDS, better_half, ratios, replaces, spread
from modeldyno.compiler.tuning.measure import CandidateFailed, Kernel, Meter

BUILD_SHARE = 0.7  # of a kernel's seconds: code generation costs more than running what it made
ROUNDS = 5  # in which the candidates that are left run in turn, before the slower half goes
DUEL_ROUNDS = 31
HOPELESS = 2.0  # times the default's time, at first sight
SAMPLE_US = 1500.0  # a sample calls a kernel until about this has passed


@dataclass
class Outcome:
    """What a search found. `choice` is the first candidate where nothing was proved faster."""

    choice: Choice
    default_us: float
    median_us: float
    spread: float
    rounds: int
    tried: int
    failed: list[tuple[Choice, str]]


@dataclass
class _Field:
    """The candidates of a search that still run, with their calls a sample."""

    meter: Meter
    kernels: dict[Choice, Kernel]
    calls: dict[Choice, int] = field(default_factory=dict)
    first_us: dict[Choice, float] = field(default_factory=dict)
    failed: list[tuple[Choice, str]] = field(default_factory=list)

    def sample(self, choice: Choice) -> float | None:
        """Time one sample; None, and the candidate is out, when that fails."""
        try:
            return self.meter.sample(self.kernels[choice], self.calls.get(choice, 1))
        except CandidateFailed as error:
            self.failed.append((choice, str(error)))
            self.kernels.pop(choice)
            return None

    def check(self, default: Choice) -> None:
        """Raise CandidateFailed if the default does not run any more."""
        if default not in self.kernels:
            raise CandidateFailed(dict(self.failed).get(default, "not built"))

    def first_look(self, choice: Choice) -> None:
        """Load a kernel, and see about how long it takes."""
        times = [self.sample(choice) for _ in range(3) if choice in self.kernels]
        if choice in self.kernels:
            self.first_us[choice] = max(0.1, min(time for time in times[1:] if time is not None))
            self.calls[choice] = max(1, round(SAMPLE_US / self.first_us[choice]))

    def rounds(
        self, choices: Sequence[Choice], count: int, fewest: int, deadline: float
    ) -> dict[Choice, list[float]]:
        """Run the choices in turn, `count` rounds or until the deadline, `fewest` in any case."""
        times: dict[Choice, list[float]] = {choice: [] for choice in choices}
        for number in range(count):
            if number >= fewest and time.monotonic() > deadline:
                break
            # Back and forth: none is always the one that runs after the same other.
            for choice in choices if number % 2 == 0 else reversed(choices):
                us = self.sample(choice) if choice in self.kernels else None
                if us is not None:
                    times[choice].append(us)
        return {choice: found for choice, found in times.items() if choice in self.kernels}

    def sample_s(self, choices: Sequence[Choice]) -> float:
        """Give the seconds of one round."""
        return sum(self.first_us[choice] * self.calls[choice] for choice in choices) / 1e6


def search(
    workload: Workload, choices: Sequence[Choice], deadline: float, *, builder: Builder, meter: Meter
) -> Outcome:
    """Find the fastest of `choices` until the deadline (time.monotonic); the first one is the default.

    Raises:
        CandidateFailed: the default itself could not be measured, so there is nothing to compare with.
    """
    with tempfile.TemporaryDirectory(prefix="dyno-kernels-") as folder:
        until = time.monotonic() + BUILD_SHARE * (deadline - time.monotonic())
        built = builder.build(workload, choices, Path(folder), until)
        running = _Field(meter, built.kernels, failed=built.failed)
        try:
            return _compare(running, choices[0], built.tried, deadline)
        finally:
            meter.forget()


def _compare(running: _Field, default: Choice, tried: int, deadline: float) -> Outcome:
    for choice in list(running.kernels):
        running.first_look(choice)
    running.check(default)
    best = _best_challenger(running, default, deadline)
    pair = [default] if best is None else [default, best]
    times = running.rounds(pair, DUEL_ROUNDS if best else FEWEST_ROUNDS, FEWEST_ROUNDS, deadline)
    running.check(default)
    won = best is not None and best in times and replaces(times[best], times[default])
    winner = best if won and best is not None else default
    return Outcome(
        choice=winner,
        default_us=median(times[default]),
        median_us=median(times[winner]),
        spread=spread(ratios(times[winner], times[default])),
        rounds=len(times[default]),
        tried=tried,
        failed=running.failed,
    )


def _best_challenger(running: _Field, default: Choice, deadline: float) -> Choice | None:
    """Halve the candidates until one is left; stop early enough for the duel."""
    enough = HOPELESS * running.first_us[default]
    left = [
        choice
        for choice, us in sorted(running.first_us.items(), key=lambda item: item[1])
        if choice != default and us < enough
    ]
    while len(left) > 1:
        duel_s = FEWEST_ROUNDS * running.sample_s([default, left[0]])
        if time.monotonic() + duel_s > deadline:
            break
        times = running.rounds([default, *left], ROUNDS, 1, deadline - duel_s)
        running.check(default)
        left = better_half({choice: times[choice] for choice in left if choice in times}, times[default])
    return left[0] if left else None
