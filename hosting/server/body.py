"""A request's body between the loop and the threads: a bounded buffer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MOST_BUFFERED = 1024 * 1024
IDLE_S = 60.0


class ClientGone(Exception):  # noqa: N818 - no error of ours
    """The client closed the connection, or sent nothing for too long."""


class Body:
    """Pieces come in on the loop, batches are taken by the one task of the connection.

    `flow(False)` asks that no more is read from the socket, `flow(True)` that it is.
    """

    def __init__(self, flow: Callable[[bool], None]) -> None:
        self._flow = flow
        self._pieces: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self.buffered = 0
        self.received = 0
        self.ended = False
        self.gone = False
        self._discarding = False

    def feed(self, piece: bytes) -> None:
        """Take what came."""
        self.received += len(piece)
        if self._discarding:
            return
        self._pieces.append(piece)
        self.buffered += len(piece)
        if self.buffered > MOST_BUFFERED:
            self._flow(False)
        self._changed.set()

    def end(self, *, gone: bool = False) -> None:
        """It is whole, or never will be."""
        self.ended, self.gone = self.ended or not gone, self.gone or gone
        self._changed.set()

    @property
    def lost(self) -> bool:
        """Whether the rest will never come."""
        return self.gone and not self.ended

    def taken(self) -> bytes:
        """Give what is there."""
        batch = b"".join(self._pieces)
        self._pieces.clear()
        self.buffered = 0
        self._flow(True)
        return batch

    async def batch(self) -> bytes:
        """Give what came since; b'' at the end. Raises ClientGone."""
        while not self._pieces:
            if self.ended:
                return b""
            await self._change(IDLE_S)
        return self.taken()

    async def discard(self, seconds: float) -> bool:
        """Read on, so that the client reads the answer before the connection closes; whether it was all."""
        self._discarding = True
        self.taken()
        try:
            async with asyncio.timeout(seconds):
                while not self.ended:
                    await self._change(seconds)
        except (TimeoutError, ClientGone):
            return False
        return True

    async def _change(self, seconds: float) -> None:
        if self.lost:
            raise ClientGone
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            raise ClientGone from None
        if self.lost:
            raise ClientGone
