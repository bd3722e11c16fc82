"""The clock of all connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

_LOOK_EVERY_S = 0.25


class Watch:
    """Looks at all `connections` four times a second; to be made on the running loop."""

    def __init__(self, connections: Iterable[Any], limit_s: float) -> None:
        self._task = asyncio.create_task(self._look(connections, limit_s))

    async def stop(self) -> None:
        """Look no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _look(self, connections: Iterable[Any], limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now_s = loop.time()
            for connection in tuple(connections):
                connection.check(now_s, limit_s)
