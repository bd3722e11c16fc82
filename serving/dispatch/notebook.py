"""What the worker threads of this process note of the requests that they run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modeldyno.serving.meters.notes import Notes


class Notebook:
    """Each thread's notes, which are struck out when its job ends: a job may be several requests."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._own = threading.local()

    def begin(self, line: bytes, body: bytes, connection: int) -> None:
        """Note a request that this thread begins to run."""
        number = self._notes.begin(line, body, connection)
        if number is not None:
            self._own.__dict__.setdefault("numbers", []).append(number)

    def end(self) -> None:
        """Strike out what this thread has noted."""
        numbers = self._own.__dict__.get("numbers")
        while numbers:
            self._notes.end(numbers.pop())
