"""Takes connections from a listening socket that several processes share.

One socket for all, inherited, rather than one each with SO_REUSEPORT: a connection that no process has taken
waits in it, and so outlives a process that dies or closes; and a second server on the port is still told
that it is taken. What the kernel does not do is to deal connections out evenly: a process that is awake would
take them all, and a few kept-alive connections could all sit on one. So each takes one at a time, and leaves
it for a moment to those that have fewer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from modeldyno.serving.meters.board import Board

_OTHERS_FIRST_S = 0.003
_NO_DESCRIPTORS_S = 0.5
_log = logging.getLogger("serving")


class Acceptor:
    """Gives connections to protocols, which must count those that end with `gone`. Of the running loop."""

    def __init__(
        self, listener: socket.socket, make: Callable[[], asyncio.Protocol], board: Board, own: int
    ) -> None:
        self._listener = listener
        self._make = make
        self._own = board.rows[own]
        self._others = [row for row in board.rows if row is not self._own]
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Take what has come already, then no more."""
        if self._listener.fileno() < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener)
        while self._take():
            pass
        self._listener.close()

    def gone(self) -> None:
        """Count a connection that has ended."""
        self._own.connections -= 1

    def _watch(self) -> None:
        self._loop.add_reader(self._listener, self._on_readable)

    def _on_readable(self) -> None:
        fewer = any(row.ready and row.connections < self._own.connections for row in self._others)
        if fewer or self._leaves_all():
            self._pause(_OTHERS_FIRST_S)
        else:
            self._take()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Take one whoever's turn it is: those with fewer may be too busy to."""
        self._timer = None
        if self._listener.fileno() < 0:
            return
        self._watch()
        if not self._leaves_all():
            self._take()

    def _leaves_all(self) -> bool:
        """Whether nothing here would be answered in time, but elsewhere."""
        return self._own.stuck and any(row.ready and not row.stuck for row in self._others)

    def _take(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another process was first
            return False
        except OSError as error:
            _log.error("no connection can be taken: %s", error)
            if self._timer is None:
                self._pause(_NO_DESCRIPTORS_S)
            return False
        self._own.connections += 1
        connection.setblocking(False)
        with suppress(OSError):  # it has ended already: that shows when it is read
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)  # else it may be collected while it runs
        task.add_done_callback(self._beginning.discard)
        return True

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:  # it has ended meanwhile
            connection.close()
            self.gone()
