"""Ctrl-C, SIGTERM and SIGHUP (the terminal is gone) end a load test in order: what was measured is kept.

The first of them is taken note of; the test closes its window, and its result says that it was cut short.
The next one ends everything at once, as a KeyboardInterrupt.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack
from types import FrameType, TracebackType

from modeldyno.base.errors import LoadTestError
from modeldyno.base.process.interrupts import handled

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
LAST_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "terminated"}


class CutShortError(LoadTestError):
    """A load test was ended by a signal before anything could be measured."""


class Interrupts:
    """Inside the context the first signal is noted here; without a context nothing is ever asked to end.

    Signals are the main thread's: from any other the context changes nothing.
    """

    def __init__(self) -> None:
        self._number: signal.Signals | None = None
        self._stack = ExitStack()

    @property
    def by(self) -> str:
        """What asked the test to end, in words; empty: nothing did."""
        return NAMES[self._number] if self._number is not None else ""

    @property
    def last_words(self) -> str:
        """What the command says at its end."""
        return LAST_WORDS[self._number] if self._number is not None else ""

    @property
    def exit_code(self) -> int:
        """That of a process that the signal ended; 0 when none came."""
        return 128 + self._number if self._number is not None else 0

    def __enter__(self) -> Interrupts:
        # One that is ignored stays so: `nohup`, or a shell's background job.
        noted = [number for number in NAMES if signal.getsignal(number) is not signal.SIG_IGN]
        self._stack.enter_context(handled(dict.fromkeys(noted, self._note)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._number is not None:
            raise KeyboardInterrupt
        self._number = signal.Signals(number)


NEVER = Interrupts()
"""Asks nothing to end."""
