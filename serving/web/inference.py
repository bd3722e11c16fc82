"""The POSTs of one model by one protocol: each request waits for its body, for a place, for a worker."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from time import perf_counter
from typing import Any

from modeldyno.serving.dispatch.notebook import Notebook
from modeldyno.serving.dispatch.shelf import ShelvedModel
from modeldyno.serving.models.base import ServedModel
from modeldyno.serving.protocols.base import WireProtocol
from modeldyno.serving.web.body import Receive, read_body, unpack
from modeldyno.serving.web.connection import CONNECTION, Connection
from modeldyno.serving.wire.answer import Answer, Call, Request, error_answer

Scope = MutableMapping[str, Any]
_LARGE_BODY = 1 << 16  # bytes; less than that, connections take anyhow


class Inference:
    """Answers one request after another, side by side.

    One more request than the model's queue takes is answered 503 at once. A body (and what it unpacks to)
    that is too long is answered 413; a request without an answer in time 504. Where the model has a batcher,
    those that wait together run together.
    """

    def __init__(self, model: ShelvedModel, protocol: WireProtocol, notebook: Notebook | None) -> None:
        self._model = model
        self._queue = model.queue
        self._protocol = protocol
        self._notebook = notebook

    async def __call__(self, scope: Scope, receive: Receive) -> Answer | None:
        """Answer a request; None where its client has left."""
        arrived_s = perf_counter()
        headers = dict(scope["headers"])
        large = int(headers.get(b"content-length", _LARGE_BODY)) >= _LARGE_BODY
        if not self._queue.has_place(large=large):
            return self._full()
        connection: Connection = scope["state"][CONNECTION]
        request = Request(scope["path"], connection.number, headers, arrived_s)
        self._queue.arrive(large=large)
        try:
            # In no variable: this frame is in the traceback of why a request was dropped, which lives on.
            request.body = await read_body(headers, receive, self._model.max_body_bytes, scope["state"])
        finally:
            self._queue.arrived(large=large)
        return None if request.body is None else await self._admit(request, connection)

    async def _admit(self, request: Request, connection: Connection) -> Answer:
        """Let a request whose body is here wait for a worker, if there is a place."""
        if not self._queue.has_place():
            return self._full()
        self._queue.admit()
        timer = self._deadline(request)
        connection.attend(request)
        try:
            return await request.wait_for(self._start(request))
        finally:
            connection.attend(None)
            if timer is not None:
                timer.cancel()
            self._queue.leave()

    def _deadline(self, request: Request) -> asyncio.TimerHandle | None:
        timeout_s = self._model.timeout_s
        if timeout_s is None:
            return None
        left_s = request.arrived_s + timeout_s - perf_counter()
        return asyncio.get_running_loop().call_later(max(left_s, 0.0), request.expire, timeout_s)

    def _full(self) -> Answer:
        again = (b"retry-after", b"1")
        return error_answer(503, f"{self._queue.max_waiting} requests wait already: try again later", again)

    def _start(self, request: Request) -> asyncio.Future[Answer]:
        """Read, run, write: all in the worker thread, so that a large body never stops the event loop."""

        def prepare(model: ServedModel) -> Call:
            begun_s = perf_counter()
            body = self._unpacked(request)
            call = self._protocol.read(
                model, self._model.name, request.headers, body, self._model.max_body_bytes
            )
            request.check_deadline(call.timeout_s)
            self._model.meter.began(begun_s - request.arrived_s, perf_counter() - begun_s)
            return call

        def run(model: ServedModel) -> Answer:
            call = prepare(model)
            started_s = perf_counter()
            outputs = model.run(call.feeds)
            self._model.meter.inference(perf_counter() - started_s)
            return call.answer(outputs)

        batcher = self._model.batcher
        return batcher.submit(prepare) if batcher else self._model.pool.start(run)

    def _unpacked(self, request: Request) -> bytes:
        body = request.begin()
        if self._notebook is not None:
            self._notebook.begin(request.line(), body, request.connection)
        request.check_deadline(self._model.timeout_s)
        return unpack(request.headers, body, self._model.max_body_bytes)
