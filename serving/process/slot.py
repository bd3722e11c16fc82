"""One place for a worker process: who has it, how it ended, and when the next is started."""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from modeldyno.base.process import procs
from modeldyno.serving.meters.board import Row
from modeldyno.serving.process.keeper import Borrower
from modeldyno.serving.process.launch import MOST_REPORT_BYTES
from modeldyno.serving.process.shares import Share

_RATE_WINDOW_S = 60.0
_FREE_DEATHS = 5  # in the window, of a worker that was ready: more are followed by a pause
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_LONGEST_PAUSE_OF_FAILED_STARTS_S = 30.0


@dataclass
class Slot:
    """One place for a worker, and who has it now."""

    number: int
    share: Share
    row: Row
    child: procs.Child
    report: int
    """Descriptor of the pipe that the worker's error comes through."""
    borrower: Borrower
    """Its connections, as far as they are lent."""
    deaths_s: deque[float] = field(default_factory=deque)
    """When workers died that had been ready, within the window."""
    failed_starts: int = 0
    """Workers in a row that died before they were ready."""
    was_ready: bool = False
    again_s: float | None = None
    """When the next one is to be started; None while one runs."""
    beats: float = 0.0
    silent_s: float = 0.0
    """How long its event loop has been standing still."""
    stood_still: bool = False
    """Whether it was killed for that."""

    def pause_s(self, now_s: float, *, others_serve: bool) -> float:
        """Return how long to wait before the next start: by failed starts, else by deaths of late.

        A worker that can be started is not kept waiting while no other serves.
        """
        while self.deaths_s and now_s - self.deaths_s[0] > _RATE_WINDOW_S:
            self.deaths_s.popleft()
        doublings = self.failed_starts - 1 if self.failed_starts else len(self.deaths_s) - _FREE_DEATHS - 1
        if doublings < 0 or (not others_serve and not self.failed_starts):
            return 0.0
        longest_s = _LONGEST_PAUSE_OF_FAILED_STARTS_S if self.failed_starts else _LONGEST_PAUSE_S
        return min(_FIRST_PAUSE_S * 2.0 ** min(doublings, 10), longest_s)

    def ending(self) -> str:
        """Return the error that the worker reported, whole, or else how it ended."""
        with suppress(BlockingIOError):
            if message := os.read(self.report, MOST_REPORT_BYTES).decode(errors="replace"):
                return message
        code = self.child.returncode()
        if code is not None and code < 0:
            known = {int(each): each.name for each in signal.Signals}
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"it was ended by {known.get(-code, f'signal {-code}')}{hint}"
        return f"it ended with exit code {code}; what it said stands above"
