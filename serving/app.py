"""The ASGI application: four paths, JSON errors, a bounded queue."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from dyno.errors import RequestError
from serving.backends import Backend
from serving.metrics import CONTENT_TYPE, Meters
from serving.pool import WorkerPool
from serving.protocol import JSON, decode, encode, error_json, oip_tensors

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MODEL_NAME = "model"
INVOCATIONS = "/invocations"
_log = logging.getLogger("serving")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class App:
    """Serves the model of `pool`.

    At most `max_waiting` requests wait for a worker, their bodies in memory; one more is answered 503 at
    once. A body (and what an npz unpacks to) is at most `max_body_bytes` long, else the answer is 413. While
    `draining`, /ping says 503 and each answer asks its client to close the connection.
    """

    def __init__(
        self, pool: WorkerPool, facts: dict[str, str], *, max_body_bytes: int, max_waiting: int
    ) -> None:
        self.draining = False
        self._pool = pool
        self._in_flight = 0
        self._max_in_flight = pool.workers + max_waiting
        self._max_body_bytes = max_body_bytes
        self._meters = Meters(facts, lambda: self._in_flight)
        self._metadata = json.dumps(_metadata(pool.backends[0])).encode()
        self._routes = {
            "/ping": ("GET", self._ping),
            INVOCATIONS: ("POST", self._invoke),
            "/metrics": ("GET", self._metrics),
            f"/v2/models/{MODEL_NAME}": ("GET", self._model),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started_s = perf_counter()
        answer = await self._answer(scope, receive)
        if answer is not None:
            await self._send(answer, send)
        if scope["path"] == INVOCATIONS and scope["method"] == "POST":
            self._meters.answered(answer.status if answer else None, perf_counter() - started_s)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        method, handler = self._routes.get(scope["path"], (None, None))
        if handler is None:
            return _error(404, f"no such path {scope['path']!r}; there are {', '.join(self._routes)}")
        if scope["method"] != method:
            allow = (b"allow", str(method).encode())
            return _error(405, f"{scope['path']} takes {method}, found {scope['method']}", allow)
        try:
            return await handler(scope, receive)
        except RequestError as error:
            return _error(error.status, str(error))
        except Exception as error:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            return _error(500, f"this request made the server fail: {type(error).__name__}: {error}")

    async def _ping(self, _scope: Scope, _receive: Receive) -> Answer:
        return _error(503, "shutting down") if self.draining else Answer(200, b'{"status": "ready"}')

    async def _metrics(self, _scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, self._meters.render(), CONTENT_TYPE)

    async def _model(self, _scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, self._metadata)

    async def _invoke(self, scope: Scope, receive: Receive) -> Answer | None:
        if self._in_flight >= self._max_in_flight:
            waiting = self._max_in_flight - self._pool.workers
            return _error(503, f"{waiting} requests wait already: try again later", (b"retry-after", b"1"))
        self._in_flight += 1
        try:
            headers = dict(scope["headers"])
            body = await _read_body(headers, receive, self._max_body_bytes)
            if body is None:
                return None
            return await self._pool.run(lambda backend: self._infer(backend, headers, body))
        finally:
            self._in_flight -= 1

    def _infer(self, backend: Backend, headers: dict[bytes, bytes], body: bytes) -> Answer:
        """Decode, run, encode: all in the worker thread, so that a large body never stops the event loop."""
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        accept = headers.get(b"accept", b"").decode("latin-1")
        feeds = decode(body, content_type, backend.inputs, self._max_body_bytes)
        started_s = perf_counter()
        outputs = backend.run(feeds)
        self._meters.inference(perf_counter() - started_s)
        return Answer(200, *encode(outputs, accept, content_type, backend.outputs))

    async def _send(self, answer: Answer, send: Send) -> None:
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            *answer.headers,
        ]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _metadata(backend: Backend) -> dict[str, Any]:
    return {
        "name": MODEL_NAME,
        "platform": backend.platform,
        "inputs": oip_tensors(backend.inputs),
        "outputs": oip_tensors(backend.outputs),
    }


async def _read_body(headers: dict[bytes, bytes], receive: Receive, max_bytes: int) -> bytes | None:
    """Read the body, or None when the client leaves in the middle of it."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise RequestError(
            "a compressed body (Content-Encoding) is not understood: send it plain", status=415
        )
    too_large = RequestError(f"the body is larger than the limit of {max_bytes} bytes", status=413)
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message["body"])
        size += len(message["body"])
        if size > max_bytes:
            raise too_large
        if not message["more_body"]:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _error(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    return Answer(status, error_json(message), headers=headers)
