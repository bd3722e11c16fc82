"""Connections that a worker process lends to its parent, which answers them if the worker dies.

Each is lent over a socket, and a cell of shared memory says whether a whole request waits in it for the first
byte of its answer. A connection ends for its client when it is shut down, not when it is closed: the parent
has it open too, until the system tells it of the end.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from dataclasses import dataclass

from modeldyno.serving.meters.board import MOST_LENT

SUPPORTED = hasattr(select, "epoll")
"""Whether this system can tell of ends; else nothing is lent."""
NOT_LENT = MOST_LENT
IDLE, ASKED, PROBED = range(3)
"""What a cell says: nothing to answer; a request waits; the first bytes of its answer are sent."""


class Lender:
    """A worker's side: lends connections over `channel`."""

    def __init__(self, channel: socket.socket, cells: memoryview) -> None:
        self._channel = channel
        self._cells = cells
        self._free = list(range(MOST_LENT))
        channel.setblocking(False)

    def lend(self, descriptor: int) -> Lent | None:
        """Lend a connection; None when the parent takes no more."""
        if not self._free:
            return None
        number = self._free.pop()
        try:
            socket.send_fds(self._channel, [number.to_bytes(2, "little")], [descriptor])
        except OSError:
            self._free.append(number)
            return None
        return Lent(number, self._cells, self._free)


@dataclass(frozen=True)
class Lent:
    """One connection that the parent has too."""

    number: int
    cells: memoryview
    free: list[int]

    def asked(self) -> None:
        """Say that a whole request waits for its answer."""
        self.cells[self.number] = ASKED

    def probed(self) -> None:
        """Say that the first bytes of the answer are sent."""
        self.cells[self.number] = PROBED

    def answered(self) -> None:
        """Say that nobody else may answer."""
        self.cells[self.number] = IDLE

    def end(self, descriptor: int) -> None:
        """End the connection for its client."""
        self.answered()
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        self.free.append(self.number)
