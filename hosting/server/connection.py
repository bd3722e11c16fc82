"""One connection: httptools reads the heads, one task answers request after request.

Whatever may take over 5 ms (reading service models, SQLite, hashing, files) runs in threads.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol

import httptools

from modeldyno.hosting.server.answers import close, head_of
from modeldyno.hosting.server.body import Body, ClientGone
from modeldyno.hosting.wire.messages import Answer, Head, Sink, query_of

MOST_HEAD_BYTES = 64 * 1024
MOST_WAITING = 8
HEAD_S, SLOW_READER_S, LINGER_S = 75.0, 60.0, 5.0
_NO_BODY = (204, 304)


class Answering(Protocol):
    """What answers requests; its methods may block."""

    def begin(self, head: Head) -> Sink:
        """Choose what takes the body. Raises an error that `refuse` knows."""
        ...

    def refuse(self, head: Head, error: BaseException) -> Answer:
        """Write an error."""
        ...


@dataclass
class Shared:
    """What all connections of a server share."""

    application: Answering
    threads: Executor
    connections: set[Connection] = field(default_factory=set)
    draining: bool = False


@dataclass(frozen=True)
class _Request:
    head: Head
    body: Body
    keeps_alive: bool
    expects: bool


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Request] = deque()
        self._arrived, self._writable = asyncio.Event(), asyncio.Event()
        self._writable.set()
        self._busy, self._broken, self._ended = False, False, False
        self._url, self._head_bytes = bytearray(), 0
        self._headers: dict[str, str] = {}
        self._body: Body | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport
        self._shared.connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End: whoever waits for the client hears of it."""
        self._shared.connections.discard(self)
        for body in [self._body, *(each.body for each in self._waiting)]:
            if body is not None:
                body.end(gone=True)
        self._broken = True
        self._arrived.set()
        self._writable.set()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read. Gives whether there is something to answer."""
        self._ended = True
        if self._body is not None:
            self._body.end(gone=True)
        self._arrived.set()
        return self._busy or bool(self._waiting)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._broken:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError):
            self._break(400)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has read."""
        self._writable.set()

    def drain(self) -> None:
        """End now where nothing is asked; else once it is answered."""
        if not self._busy and not self._waiting:
            self._transport.close()

    # httptools calls these.

    def on_message_begin(self) -> None:
        """Forget the last head."""
        self._url, self._headers, self._head_bytes, self._body = bytearray(), {}, 0, None

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._count(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of several of one name, values are joined."""
        self._count(len(name) + len(value) + 4)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self._headers[key] = f"{self._headers[key]},{text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """A head is whole."""
        target = httptools.parse_url(bytes(self._url))
        head = Head(
            self._parser.get_method().decode("latin-1"),
            (target.path or b"/").decode("latin-1"),
            query_of((target.query or b"").decode("latin-1")),
            self._headers,
            uuid.uuid4().hex,
        )
        expects = self._headers.get("expect", "").lower() == "100-continue"
        self._body = Body(self._flow)
        self._waiting.append(_Request(head, self._body, self._parser.should_keep_alive(), expects))
        if len(self._waiting) > MOST_WAITING:
            self._flow(False)
        self._arrived.set()

    def on_body(self, piece: bytes) -> None:
        """Take a piece of a body."""
        if self._body is not None:
            self._body.feed(piece)

    def on_message_complete(self) -> None:
        """A body is whole."""
        if self._body is not None:
            self._body.end()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            self._break(431)
            raise ValueError("the head is too large")

    def _flow(self, on: bool) -> None:
        if self._broken or self._transport.is_closing():
            return
        if on and len(self._waiting) <= MOST_WAITING:
            self._transport.resume_reading()
        elif not on:
            self._transport.pause_reading()

    def _break(self, status: int) -> None:
        """What came is no HTTP: say so where no answer is under way, and end."""
        if self._broken:
            return
        self._broken = True
        if not self._busy and not self._waiting:
            self._transport.write(head_of(Answer(status), "", closing=True))
        if self._body is not None:
            self._body.end(gone=True)
        self._arrived.set()
        self._transport.close()

    # The task.

    async def _run(self) -> None:
        try:
            while await self._next():
                self._busy = True
                request = self._waiting.popleft()
                kept = await self._serve(request)
                self._busy = False
                if not kept or self._shared.draining:
                    return
        except ClientGone:
            pass
        finally:
            self._transport.close()

    async def _next(self) -> bool:
        try:
            async with asyncio.timeout(HEAD_S):
                while not self._waiting:
                    if self._broken or self._ended or self._transport.is_closing():
                        return False
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    async def _serve(self, request: _Request) -> bool:
        """Answer one request; whether another may follow."""
        answer = await self._answer(request)
        closing = not request.keeps_alive or self._shared.draining
        closing = closing or (request.expects and not request.body.ended)
        await self._write(request, answer, closing=closing)
        if not request.body.ended:
            return await request.body.discard(LINGER_S) and not closing
        return not closing

    async def _answer(self, request: _Request) -> Answer:
        if request.body.ended:
            return await self._off(self._whole, request.head, request.body.taken())
        sink: Sink | None = None
        try:
            sink = await self._off(self._shared.application.begin, request.head)
            if request.expects and not request.body.received:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            while batch := await request.body.batch():
                await self._off(sink.write, batch)
            return await self._off(sink.finish)
        except Exception as error:
            if sink is not None:
                await self._off(sink.abort)
            if isinstance(error, ClientGone):
                raise
            return await self._off(self._shared.application.refuse, request.head, error)

    def _whole(self, head: Head, body: bytes) -> Answer:
        """Answer a request whose body is there: all in one go."""
        sink: Sink | None = None
        try:
            sink = self._shared.application.begin(head)
            sink.write(body)
            return sink.finish()
        except Exception as error:
            if sink is not None:
                sink.abort()
            return self._shared.application.refuse(head, error)

    async def _off(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._shared.threads, work, *given)

    async def _write(self, request: _Request, answer: Answer, *, closing: bool) -> None:
        head = head_of(answer, request.head.request_id, closing=closing)
        without = request.head.method == "HEAD" or answer.status in _NO_BODY
        if isinstance(answer.body, bytes):
            self._transport.write(head + (b"" if without else answer.body))
            await self._written()
            return
        self._transport.write(head)
        try:
            while not without and (piece := await self._off(next, answer.body, b"")):
                self._transport.write(piece)
                await self._written()
        finally:
            close(answer.body)

    async def _written(self) -> None:
        try:
            async with asyncio.timeout(SLOW_READER_S):
                await self._writable.wait()
        except TimeoutError:
            self._transport.abort()
            raise ClientGone from None
        if self._broken and self._transport.is_closing():
            raise ClientGone
