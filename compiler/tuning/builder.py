"""Building a kernel's candidates, as many as there is time for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeldyno.base.process.interrupts import Interrupts
from modeldyno.compiler.kernels.choice import Choice, Workload
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.compiler.tuning import candidate
from modeldyno.compiler.tuning.measure import Kernel

FEWEST = 4  # candidates, the default among them: below that a search is hardly worth its default's time

Lower = Callable[[Workload, Choice, CompileTarget], tuple[Any, candidate.Arguments]]
Programs = dict[Choice, tuple[Any, candidate.Arguments]]


@dataclass
class BuildCost:
    """Seconds that building takes here, learned from kernel to kernel."""

    kernel_s: float = 0.3
    link_s: float = 0.5

    def of(self, kernels: int) -> float:
        """Give the seconds of code generation and link for so many kernels."""
        return self.link_s + kernels * self.kernel_s

    def learn(self, kernels: int, seconds: float) -> None:
        """Take in what a build took; a slow one weighs more than a quick one, as overruns cost more."""
        seen = max(0.02, (seconds - self.link_s) / kernels)
        self.kernel_s += (seen - self.kernel_s) * (0.7 if seen > self.kernel_s else 0.3)


@dataclass
class Built:
    """What building gave: kernels that can be run, what failed and why, and how many were tried in all."""

    kernels: dict[Choice, Kernel] = field(default_factory=dict)
    failed: list[tuple[Choice, str]] = field(default_factory=list)
    tried: int = 0


@dataclass
class Builder:
    """Builds candidates for one target, and knows better from kernel to kernel how long that takes."""

    target: CompileTarget
    cost: BuildCost = field(default_factory=BuildCost)
    lower: Lower = candidate.lowered
    interrupts: Interrupts = field(default_factory=Interrupts)

    def build(self, workload: Workload, choices: Sequence[Choice], folder: Path, until: float) -> Built:
        """Build choices from the head of the list until the time `until`, FEWEST of them at least."""
        built = Built()
        programs: Programs = {}
        for choice in choices:
            if built.tried >= FEWEST and time.monotonic() + self.cost.of(len(programs) + 1) > until:
                break
            built.tried += 1
            try:
                programs[choice] = self.lower(workload, choice, self.target)
            except Exception as error:  # TVM raises many kinds of errors: whichever it is, this one is out
                self.interrupts.raise_again()
                built.failed.append((choice, _line(error)))
        if programs:
            began = time.monotonic()
            self._generate(programs, folder, built)
            self.cost.learn(len(programs), time.monotonic() - began)
        return built

    def _generate(self, programs: Programs, folder: Path, built: Built) -> None:
        """Build all in one library; where that fails, one by one to see which it was."""
        if self._add(programs, folder / "kernels.so", built) is None:
            return
        for number, (choice, program) in enumerate(programs.items()):
            error = self._add({choice: program}, folder / f"kernel_{number}.so", built)
            if error is not None:
                built.failed.append((choice, _line(error)))

    def _add(self, programs: Programs, path: Path, built: Built) -> Exception | None:
        try:
            built.kernels |= self._library(programs, path)
        except Exception as error:  # as above
            self.interrupts.raise_again()
            return error
        return None

    def _library(self, programs: Programs, path: Path) -> dict[Choice, Kernel]:
        names = {choice: f"kernel_{number}" for number, choice in enumerate(programs)}
        candidate.build(
            {names[choice]: program for choice, (program, _) in programs.items()}, path, self.target
        )
        return {choice: Kernel(path, names[choice], arguments) for choice, (_, arguments) in programs.items()}


def _line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:200]}"
