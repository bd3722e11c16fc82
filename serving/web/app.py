"""The ASGI application: its paths, JSON errors, a bounded queue."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from importlib.metadata import version
from time import perf_counter
from types import MethodType
from typing import Any

from modeldyno.base.errors import RequestError
from modeldyno.serving.dispatch.batching import Batcher, BatchLimits
from modeldyno.serving.dispatch.pool import WorkerPool
from modeldyno.serving.meters.board import Board
from modeldyno.serving.meters.metrics import CONTENT_TYPE, Meters
from modeldyno.serving.models.base import Backend
from modeldyno.serving.models.user_code import UserCode
from modeldyno.serving.notebook import Notebook
from modeldyno.serving.process.hang import HangWatch
from modeldyno.serving.protocols import oip, openapi
from modeldyno.serving.protocols.invocations import read_invocation
from modeldyno.serving.web.body import TIMED_OUT, Receive, read_body, unpack
from modeldyno.serving.web.connection import CONNECTION, Connection
from modeldyno.serving.web.heads import CLOSE
from modeldyno.serving.wire.answer import Answer, Call, ClientLeftError, Headers, Request, error_answer

Scope = MutableMapping[str, Any]
Handler = Callable[[Scope, Receive], Awaitable[Answer | None]]
Work = Callable[[Request], asyncio.Future[Answer]]
Reader = Callable[[Backend, Headers, bytes], Call]

MODEL_NAME = "model"
INVOCATIONS = "/invocations"
_MODELS = "/v2/models/"
_LARGE_BODY = 1 << 16  # bytes; less than that, connections take anyhow
_log = logging.getLogger("serving")


class App:
    """Serves the model of `pool`; row `own` of the board is where it says how much it has in flight.

    At most `max_waiting` requests wait for a worker, their bodies in memory; one more is answered 503 at
    once. A place is taken when the body is there, so slow clients keep nobody else from one; of large
    bodies no more may be on their way at a time either. A body (and what it unpacks to) is at most
    `max_body_bytes` long, else the answer is 413. A request without an answer `timeout_s` after it came
    is answered 504. With `batch`, those that wait together run together. While `draining`, or while no worker
    answers, /ping says 503; when draining each answer asks its client to close the connection.
    """

    def __init__(
        self,
        pool: WorkerPool,
        meters: Meters,
        board: Board,
        own: int,
        *,
        max_body_bytes: int,
        max_waiting: int,
        model_name: str = MODEL_NAME,
        timeout_s: float | None = None,
        batch: BatchLimits | None = None,
    ) -> None:
        self.draining = False
        self._pool = pool
        self._name = model_name
        self._row = board.rows[own]
        self._max_waiting = max_waiting
        self._most_admitted = max_waiting + pool.workers * (batch.max_rows if batch else 1)
        self._admitted = self._arriving = 0
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._meters = meters
        self._batcher = Batcher(pool, batch, self._meters.joined_inference) if batch else None
        self._notebook = Notebook(board.notes[own], pool) if len(board.rows) > 1 else None
        self.hangs = HangWatch(pool, self._batcher, board, own, timeout_s)
        self._routes = self._all_routes()

    async def __call__(self, scope: Scope, receive: Receive, send: MethodType) -> None:
        """Answer one request; `send` is the method of its cycle, which knows where to."""
        started_s = perf_counter()
        connection: Connection = scope["state"][CONNECTION]
        answer = await self._answer(scope, receive)
        if answer is not None:
            await connection.answer(send.__self__, answer, close=self.draining)
        seconds = perf_counter() - started_s
        if connection.lost or (connection.client_done and not await connection.see_off()):
            answer = None
        if scope["method"] == "POST" and self._routes.get(scope["path"], ("",))[0] == "POST":
            self._meters.answered(answer.status if answer else None, seconds)
        del scope["state"][CONNECTION]  # which knows its newest request in turn

    def _all_routes(self) -> dict[str, tuple[str, Handler]]:
        backend = self._pool.backends[0]
        code = isinstance(backend, UserCode)
        invoke = self._run_code if code else partial(self._run_tensors, self._read_invocation)
        infer = partial(self._run_tensors, self._read_infer)
        own = version("modeldyno")
        server = {"name": "modeldyno", "version": own, "extensions": oip.EXTENSIONS}
        model: dict[str, tuple[str, Handler]] = {
            "": ("GET", _fixed(_metadata(self._name, backend))),
            "/ready": ("GET", partial(self._ready, {"name": self._name})),
            "/config": ("GET", _fixed(_config(self._name, backend))),
            "/infer": ("POST", self._queued(infer)),
        }
        path = _MODELS + self._name
        return {
            "/ping": ("GET", self._ping),
            INVOCATIONS: ("POST", self._queued(invoke)),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": (
                "GET",
                _fixed(openapi.document(self._name, own, backend.inputs, backend.outputs)),
            ),
            "/v2": ("GET", _fixed(server)),
            "/v2/health/live": ("GET", _fixed({"live": True})),
            "/v2/health/ready": ("GET", partial(self._ready, {})),
            **{path + end: route for end, route in model.items()},
            **{f"{path}/versions/{oip.VERSION}{end}": route for end, route in model.items()},
        }

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        try:
            return await self._handler(scope)(scope, receive)
        except RequestError as error:
            return error_answer(error.status, str(error), *((CLOSE,) if error.status == TIMED_OUT else ()))
        except ClientLeftError:
            return None
        except asyncio.CancelledError:  # the time in which the server ends gently is over
            return error_answer(503, "the server has ended before the answer was there", CLOSE)
        except Exception as error:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            return error_answer(500, f"this request made the server fail: {type(error).__name__}: {error}")

    def _handler(self, scope: Scope) -> Handler:
        method, handler = self._routes.get(scope["path"], (None, None))
        if handler is None:
            return _always(error_answer(404, self._no_such(scope["path"])))
        if scope["method"] != method:
            allow = (b"allow", str(method).encode())
            words = f"{scope['path']} takes {method}, found {scope['method']}"
            return _always(error_answer(405, words, allow))
        return handler

    def _no_such(self, path: str) -> str:
        model = path.removeprefix(_MODELS).split("/", 1)[0]
        if path.startswith(_MODELS) and model != self._name:
            return f"no such model {model!r}; there is {self._name!r}"
        paths = (name for name in self._routes if "/versions/" not in name)
        return f"no such path {path!r}; there are {', '.join(paths)}"

    async def _ping(self, _scope: Scope, _receive: Receive) -> Answer:
        words = self._why_not_ready()
        return error_answer(503, words) if words else Answer(200, b'{"status": "ready"}')

    async def _ready(self, named: dict[str, str], _scope: Scope, _receive: Receive) -> Answer:
        """Say it in the words of the Open Inference Protocol."""
        words = self._why_not_ready()
        error = {"error": words} if words else {}
        return Answer(503 if words else 200, json.dumps({**named, "ready": not words, **error}).encode())

    def _why_not_ready(self) -> str | None:
        return "shutting down" if self.draining else self.hangs.why_none_answers()

    async def _metrics(self, _scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, self._meters.render(), CONTENT_TYPE)

    def _queued(self, work: Work) -> Handler:
        async def handle(scope: Scope, receive: Receive) -> Answer | None:
            arrived_s = perf_counter()
            headers = dict(scope["headers"])
            large = int(headers.get(b"content-length", _LARGE_BODY)) >= _LARGE_BODY
            if self._admitted >= self._most_admitted or (large and self._arriving >= self._most_admitted):
                return self._full()
            self._row.in_flight += 1
            self._arriving += large
            connection: Connection = scope["state"][CONNECTION]
            request = Request(scope["path"], connection.number, headers, arrived_s)
            try:
                # In no variable: this frame is in the traceback of why a request was dropped, which lives on.
                request.body = await read_body(headers, receive, self._max_body_bytes, scope["state"])
            finally:
                self._row.in_flight -= 1
                self._arriving -= large
            return None if request.body is None else await self._admit(work, request, connection)

        return handle

    async def _admit(self, work: Work, request: Request, connection: Connection) -> Answer:
        """Let a request whose body is here wait for a worker, if there is a place."""
        if self._admitted >= self._most_admitted:
            return self._full()
        self._admitted += 1
        self._row.in_flight += 1
        timer = self._deadline(request)
        connection.attend(request)
        try:
            return await request.wait_for(work(request))
        finally:
            connection.attend(None)
            if timer is not None:
                timer.cancel()
            self._admitted -= 1
            self._row.in_flight -= 1

    def _deadline(self, request: Request) -> asyncio.TimerHandle | None:
        if self._timeout_s is None:
            return None
        left_s = request.arrived_s + self._timeout_s - perf_counter()
        return asyncio.get_running_loop().call_later(max(left_s, 0.0), request.expire, self._timeout_s)

    def _full(self) -> Answer:
        again = (b"retry-after", b"1")
        return error_answer(503, f"{self._max_waiting} requests wait already: try again later", again)

    def _run_tensors(self, read: Reader, request: Request) -> asyncio.Future[Answer]:
        """Read, run, write: all in the worker thread, so that a large body never stops the event loop."""

        def prepare(backend: Backend) -> Call:
            call = read(backend, request.headers, self._unpacked(request))
            request.check_deadline(call.timeout_s)
            return call

        def run(backend: Backend) -> Answer:
            call = prepare(backend)
            started_s = perf_counter()
            outputs = backend.run(call.feeds)
            self._meters.inference(perf_counter() - started_s)
            return call.answer(outputs)

        return self._batcher.submit(prepare) if self._batcher else self._pool.start(run)

    def _run_code(self, request: Request) -> asyncio.Future[Answer]:
        def run(backend: Backend) -> Answer:
            if not isinstance(backend, UserCode):
                raise TypeError(f"{type(backend).__name__} is no user code")
            return backend.invoke(request.headers, self._unpacked(request), self._meters.inference)

        return self._pool.start(run)

    def _unpacked(self, request: Request) -> bytes:
        body = request.begin()
        if self._notebook is not None:
            self._notebook.begin(request.line(), body, request.connection)
        request.check_deadline(self._timeout_s)
        return unpack(request.headers, body, self._max_body_bytes)

    def _read_invocation(self, backend: Backend, headers: Headers, body: bytes) -> Call:
        return read_invocation(body, headers, backend.inputs, backend.outputs, self._max_body_bytes)

    def _read_infer(self, backend: Backend, headers: Headers, body: bytes) -> Call:
        return oip.read_infer(body, headers, backend.inputs, backend.outputs, self._name)


def _fixed(document: dict[str, Any]) -> Handler:
    return _always(Answer(200, json.dumps(document, allow_nan=False).encode()))


def _always(answer: Answer) -> Handler:
    async def handle(_scope: Scope, _receive: Receive) -> Answer:
        return answer

    return handle


def _metadata(name: str, backend: Backend) -> dict[str, Any]:
    return {
        "name": name,
        "versions": [oip.VERSION],
        "platform": backend.platform,
        "inputs": oip.tensors(backend.inputs),
        "outputs": oip.tensors(backend.outputs),
    }


def _config(name: str, backend: Backend) -> dict[str, Any]:
    """Describe the model as Triton's model configuration does; a batch of 0 says that shapes are whole."""

    def tensors(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {"name": entry["name"], "data_type": f"TYPE_{entry['datatype']}", "dims": entry["shape"]}
            for entry in entries
        ]

    return {
        "name": name,
        "platform": backend.platform,
        "max_batch_size": 0,
        "input": tensors(oip.tensors(backend.inputs)),
        "output": tensors(oip.tensors(backend.outputs)),
    }
