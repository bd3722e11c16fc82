"""One connection: uvicorn's, and a clock on what its client does.

Uvicorn waits for ever for the rest of a request, and for a client that does not read its answer. Here each
connection notes when it began to wait, and `Watch` looks at all of them now and then: no timer for a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.answer import error_json

IS_LATE = "dyno.late"
"""In a request's state once its body has taken too long; who waits for the body is woken."""
_LOOK_EVERY_S = 0.25
_GATHER_BYTES = 1 << 20


class Connection(HttpToolsProtocol):
    """One client."""

    def __init__(self, *, ended: Callable[[], None] | None = None, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._ended = ended
        self._idle_since_s: float | None = None
        """Since when it is open without a request; uvicorn minds those that had one."""
        self._receiving_since_s: float | None = None
        self._paused_since_s: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._idle_since_s = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        if self._ended is not None:
            self._ended()

    def on_message_begin(self) -> None:
        """Start the clock with a request's first byte."""
        super().on_message_begin()
        self._idle_since_s = None
        self._receiving_since_s = self.loop.time()

    def on_message_complete(self) -> None:
        """Stop it with the last."""
        self._receiving_since_s = None
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Gather a body before who waits for it is woken; uvicorn wakes and pauses for each 64 KiB."""
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > _GATHER_BYTES:
            self.flow.pause_reading()
            self.cycle.message_event.set()

    def pause_writing(self) -> None:
        """Note since when the client reads too slowly."""
        self._paused_since_s = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self._paused_since_s = None
        super().resume_writing()

    def check(self, now_s: float, limit_s: float) -> None:
        """End it, or its request, when its client has taken longer than `limit_s`."""
        if self._paused_since_s is not None and now_s - self._paused_since_s > limit_s:
            self.transport.abort()
        elif self._idle_since_s is not None and now_s - self._idle_since_s > self.timeout_keep_alive:
            self.transport.close()
        elif (
            self._receiving_since_s is not None
            and now_s - self._receiving_since_s > limit_s
            and not self.flow.read_paused  # then it is us who take our time, with an earlier request
        ):
            self._end_request()

    def _end_request(self) -> None:
        if "path" not in cast("dict[str, Any]", self.scope):  # not all headers are there
            body = error_json("the headers did not come in time")
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n"
                b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
            )
            self.transport.close()
        elif self.cycle.response_complete:  # refused early, and still being sent
            self.transport.close()
        else:
            self._receiving_since_s = None
            self.scope["state"][IS_LATE] = True
            self.cycle.message_event.set()


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
