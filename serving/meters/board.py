"""What the processes of one server tell one another: a table of numbers in memory that they share.

One row for the server, then one for each worker process, who alone writes it; then the notes of each. A
worker that is started again goes on with the row of the one before: what was counted stays counted.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass

from modeldyno.serving.meters.notes import NOTES_BYTES, Notes

_CELL_BYTES = 8  # a double: written and read whole
_ROW_BYTES = 8192  # whole pages: processes that count at the same time don't take lines from each other
_LISTENING, _RESTARTS = range(2)
_PID, _READY, _CONNECTIONS, _IN_FLIGHT, _STUCK, _BEAT = range(6)
FIRST_FREE = 8
"""The cells of a worker's row from here on are for whoever counts in it: first one for each HTTP status."""
CELLS = _ROW_BYTES // _CELL_BYTES
MOST_LENT = 1024
"""Connections of one process that are lent to its parent at a time; a cell of one byte for each."""


class Row:
    """What one worker process says of itself."""

    def __init__(self, cells: memoryview[float]) -> None:
        self.cells = cells

    def begin(self, pid: int) -> None:
        """Say that this process has the row now, and is not ready."""
        for cell in (_READY, _CONNECTIONS, _IN_FLIGHT, _STUCK, _BEAT):
            self.cells[cell] = 0.0
        self.cells[_PID] = float(pid)

    def end(self) -> None:
        """Say that nobody has the row."""
        self.begin(0)

    @property
    def pid(self) -> int:
        """The process that has the row; 0 for none."""
        return int(self.cells[_PID])

    def count_answer(self, status: int) -> None:
        """Count an answer with this status."""
        self.cells[FIRST_FREE + status] += 1.0

    @property
    def ready(self) -> bool:
        """Whether it is warm, and takes connections."""
        return bool(self.cells[_READY])

    @ready.setter
    def ready(self, value: bool) -> None:
        self.cells[_READY] = float(value)

    @property
    def stuck(self) -> bool:
        """Whether none of its workers takes a request: each runs one that is past its deadline."""
        return bool(self.cells[_STUCK])

    @stuck.setter
    def stuck(self, value: bool) -> None:
        self.cells[_STUCK] = float(value)

    @property
    def beats(self) -> float:
        """A number that grows while its event loop runs."""
        return self.cells[_BEAT]

    def beat(self) -> None:
        """Say that the event loop runs."""
        self.cells[_BEAT] += 1.0

    @property
    def connections(self) -> int:
        """Connections that it has open."""
        return int(self.cells[_CONNECTIONS])

    @connections.setter
    def connections(self, value: int) -> None:
        self.cells[_CONNECTIONS] = float(value)

    @property
    def in_flight(self) -> int:
        """Requests that it has taken and not yet answered."""
        return int(self.cells[_IN_FLIGHT])

    @in_flight.setter
    def in_flight(self, value: int) -> None:
        self.cells[_IN_FLIGHT] = float(value)


class Board:
    """The table of a server of `processes` workers."""

    def __init__(self, descriptor: int, processes: int) -> None:
        rows_end = (1 + processes) * _ROW_BYTES
        notes_end = rows_end + processes * NOTES_BYTES
        size = notes_end + processes * MOST_LENT
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        # The mapping outlives the descriptor that it was made from.
        memory = memoryview(mmap.mmap(descriptor, size))
        self.notes = tuple(
            Notes(memory[start : start + NOTES_BYTES]) for start in range(rows_end, notes_end, NOTES_BYTES)
        )
        self.lent = tuple(memory[start : start + MOST_LENT] for start in range(notes_end, size, MOST_LENT))
        """For each process what it says of the connections that it lends."""
        cells = memory[:rows_end].cast("d")
        parts = [cells[start : start + CELLS] for start in range(0, len(cells), CELLS)]
        self._server = parts[0]
        self.rows = tuple(map(Row, parts[1:]))

    @property
    def listening(self) -> bool:
        """Whether the workers may take connections."""
        return bool(self._server[_LISTENING])

    @listening.setter
    def listening(self, value: bool) -> None:
        self._server[_LISTENING] = float(value)

    @property
    def restarts(self) -> int:
        """How often a worker process was started again."""
        return int(self._server[_RESTARTS])

    @restarts.setter
    def restarts(self, value: int) -> None:
        self._server[_RESTARTS] = float(value)


@dataclass(frozen=True)
class Member:
    """Which of a server's worker processes this one is."""

    board: Board
    number: int = 0

    @property
    def row(self) -> Row:
        """What it says of itself."""
        return self.board.rows[self.number]

    @property
    def alone(self) -> bool:
        """Whether it is the only one."""
        return len(self.board.rows) == 1


def shared_memory() -> int:
    """Make memory that children can inherit; returns its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dyno-serve")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def board_alone() -> Board:
    """Make the table of a server of one process."""
    descriptor = shared_memory()
    try:
        return Board(descriptor, 1)
    finally:
        os.close(descriptor)
