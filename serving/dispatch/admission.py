"""The places of one model's requests: those that run, those that wait, those on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modeldyno.serving.meters.board import Row


class Queue:
    """Counts requests; `row` is where the process says how many it has in flight.

    At most `max_waiting` requests wait for one of `running`, their bodies in memory. A place is taken when
    the body is there, so slow clients keep nobody else from one; of large bodies no more may be on their way
    at a time either. Lives on the event loop.
    """

    def __init__(self, row: Row, max_waiting: int, running: int) -> None:
        self.max_waiting = max_waiting
        self._row = row
        self._most = max_waiting + running
        self._admitted = self._arriving = 0

    def has_place(self, *, large: bool = False) -> bool:
        """Whether one more may come; a large one is asked for before its body is read."""
        return self._admitted < self._most and not (large and self._arriving >= self._most)

    def arrive(self, *, large: bool) -> None:
        """Count a request whose body is on its way."""
        self._row.in_flight += 1
        self._arriving += large

    def arrived(self, *, large: bool) -> None:
        """Count that its body is there, or that it will not come."""
        self._row.in_flight -= 1
        self._arriving -= large

    def admit(self) -> None:
        """Give a request a place."""
        self._admitted += 1
        self._row.in_flight += 1

    def leave(self) -> None:
        """Take the place back."""
        self._admitted -= 1
        self._row.in_flight -= 1
