"""How a run is shown while it works (stderr): a bar with the time left on a terminal, else plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from modeldyno.base.command.console import harmless, say
from modeldyno.base.records.run import Candidate, Trial
from modeldyno.base.units import short_duration
from modeldyno.recommender.show import console_lines
from modeldyno.recommender.show.events import (
    AloneMeasured,
    CompileEnded,
    CompileStarted,
    Event,
    Measuring,
    RunPlanned,
    StartEnded,
    TrialEnded,
    TrialLoaded,
    TrialStarted,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Screen(Protocol):
    """Where the display goes."""

    def line(self, text: str) -> None:
        """Leave a line on the screen."""

    def update(self, text: str, completed_s: float, total_s: float) -> None:
        """Show what is going on right now."""


@contextmanager
def shown_progress() -> Iterator[Callable[[Event], None]]:
    """Yield what `recommend` shall tell its events to."""
    from rich.console import Console

    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield Display(_Lines()).show
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=30), TextColumn("{task.description}", markup=False))
    # Drawn by a thread of this process: once a second takes nothing from what is measured.
    with Progress(*columns, console=console, transient=True, refresh_per_second=1) as progress:
        yield Display(_Bar(console, progress, progress.add_task("", total=None))).show


class _Lines:
    """No terminal: lines only."""

    def line(self, text: str) -> None:
        say(text)

    def update(self, text: str, completed_s: float, total_s: float) -> None:
        """Show nothing: a log is no place for what changes every second."""


@dataclass(frozen=True)
class _Bar:
    """A terminal: the lines run above the bar."""

    console: Console
    progress: Progress
    task: TaskID

    def line(self, text: str) -> None:
        with suppress(OSError):  # nobody can be told: the work goes on
            self.console.print(harmless(text), soft_wrap=True)

    def update(self, text: str, completed_s: float, total_s: float) -> None:
        left_s = total_s - completed_s
        left = f"about {short_duration(left_s)} left" if left_s >= 1 else "nearly done"
        self.progress.update(
            self.task, total=total_s, completed=completed_s, description=f"{left}  {harmless(text)}"
        )


@dataclass
class Display:
    """Shows events. The bar counts seconds of estimated work, so that it moves evenly."""

    screen: Screen
    clock: Callable[[], float] = time.monotonic
    total_s: float = 0.0
    trials: int = 0
    number: int = 0
    started: float | None = None
    spent_s: float = 0.0
    stage: str = ""
    began_s: float | None = None

    def show(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case RunPlanned():
                self.total_s = event.seconds
                self.trials = len(event.to_measure) * event.starts - event.started
                self._lines(console_lines.plan(event))
            case CompileStarted():
                self._lines([f"compiling for {event.target} ..."])
                self._update(f"compiling for {event.target}")
            case CompileEnded():
                self._lines([console_lines.compile_end(event)])
            case AloneMeasured():
                self._lines([console_lines.alone(event)])
            case Measuring():
                self._measuring(event)
            case TrialStarted():
                self.started, self.number = self.clock(), self.number + 1
                self._update(f"{self._title(event.planned.candidate)}: starting its server")
            case TrialLoaded():
                self._update(f"{self._title(event.planned.candidate)}: {console_lines.loading(event)}")
            case StartEnded():
                title = self._title(event.trial.candidate)
                left, self.started = self._left(event.trial), None
                self._lines([f"{title}: {console_lines.start(event)}{left}"])
            case TrialEnded():
                title = self._title(event.trial.candidate)  # before `started` is cleared
                left = self._left(event.trial) if self.started is not None else ""
                self.started = None
                self._lines([f"{title}: {console_lines.outcome(event.trial)}{left}"])

    def _measuring(self, event: Measuring) -> None:
        """A line for each stage, with what it takes; what goes on in it only moves the bar."""
        if event.seconds_left >= 0 and event.text != self.stage:
            self.stage = event.text
            self._lines([f"{event.text}: about {short_duration(event.seconds_left)}"])
        began, self.began_s = self.began_s, self.began_s or self.clock()
        done_s = 0.0 if began is None else self.clock() - began
        self.screen.update(event.text, done_s, max(self.total_s, done_s + max(0.0, event.seconds_left)))

    def _left(self, trial: Trial) -> str:
        """Say how long the trials that are left take, if each takes as long as those did that ended."""
        self.spent_s += trial.seconds
        remaining = self.trials - self.number
        if remaining <= 0 or not self.spent_s:
            return ""
        return f"; about {short_duration(remaining * self.spent_s / self.number)} left"

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.screen.line(line)

    def _update(self, text: str) -> None:
        """Of the estimate, trials that ended count in full, the running one by the clock."""
        trial_s = self.total_s / max(1, self.trials)
        running_s = 0.0 if self.started is None else min(trial_s, self.clock() - self.started)
        ended = self.number - (self.started is not None)
        self.screen.update(text, ended * trial_s + running_s, self.total_s)

    def _title(self, candidate: Candidate) -> str:
        """One that was refused has no number: nothing ran."""
        number = "" if self.started is None else f"[{self.number}/{self.trials}] "
        return f"{number}{console_lines.candidate(candidate)}"
