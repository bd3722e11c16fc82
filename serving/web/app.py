"""The ASGI application: the paths of the server, of its protocols and its models; errors as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from time import perf_counter
from types import MethodType

from modeldyno.base.errors import RequestError
from modeldyno.serving.dispatch.hang import HangWatch
from modeldyno.serving.dispatch.notebook import Notebook
from modeldyno.serving.dispatch.shelf import Shelf, ShelvedModel
from modeldyno.serving.meters.board import Member
from modeldyno.serving.meters.metrics import CONTENT_TYPE, Meters
from modeldyno.serving.protocols import openapi
from modeldyno.serving.protocols.base import Action, Document, ModelFacts, Ready, WireProtocol
from modeldyno.serving.web.body import TIMED_OUT, Receive
from modeldyno.serving.web.connection import CONNECTION, Connection
from modeldyno.serving.web.heads import CLOSE
from modeldyno.serving.web.inference import Inference, Scope
from modeldyno.serving.wire.answer import Answer, ClientLeftError, error_answer

Handler = Callable[[Scope, Receive], Awaitable[Answer | None]]
Route = tuple[str, Handler]  # method, and what answers
WhyNot = Callable[[], str | None]  # why no request is answered; None where one is

_log = logging.getLogger("serving")


class App:
    """Serves the models of `shelf` by all `protocols`, as the process `member` of the server.

    While `draining`, or while no worker answers, /ping says 503; when draining each answer asks its client to
    close the connection.
    """

    def __init__(
        self, shelf: Shelf, protocols: Sequence[WireProtocol], meters: Meters, member: Member
    ) -> None:
        self.draining = False
        self.hangs = HangWatch(shelf, member)
        self._shelf = shelf
        self._protocols = protocols
        self._meters = meters
        self._notebook = None if member.alone else Notebook(member.board.notes[member.number])
        for model in shelf:
            model.pool.after_job = self._notebook.end if self._notebook else None
        self._routes = dict(self._all_routes())

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

    def _all_routes(self) -> Iterator[tuple[str, Route]]:
        facts = [self._facts(model) for model in self._shelf]
        described = [
            each
            for protocol in self._protocols
            for each in (protocol.describe_server(), *map(protocol.describe, facts))
        ]
        document = openapi.document(self._shelf.names, version("modeldyno"), described)
        yield "/ping", ("GET", self._ping)
        yield "/metrics", ("GET", self._metrics)
        yield "/openapi.json", ("GET", _fixed(document))
        for protocol in self._protocols:
            for path, told in protocol.server_routes().items():
                yield path, ("GET", self._told(told, self.hangs.why_none_answers))
            for model, of_model in zip(self._shelf, facts, strict=True):
                for path, action in protocol.routes(of_model).items():
                    yield path, self._route(action, model, protocol)

    def _facts(self, model: ShelvedModel) -> ModelFacts:
        is_first = model is self._shelf.first
        return ModelFacts(model.name, model.signature, is_first, model.joining.facts())

    def _route(self, action: Action, model: ShelvedModel, protocol: WireProtocol) -> Route:
        if isinstance(action, Document | Ready):
            return "GET", self._told(action, partial(self.hangs.why_not, model))
        return "POST", Inference(model, protocol, self._meters, self._notebook)

    def _told(self, action: Document | Ready, why_not: WhyNot) -> Handler:
        if isinstance(action, Document):
            return _fixed(action.content)
        return partial(self._ready, action.named, why_not)

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
        found = (protocol.why_unknown(path, self._shelf.names) for protocol in self._protocols)
        if why := next(filter(None, found), None):
            return why
        paths = (name for name in self._routes if "/versions/" not in name)
        return f"no such path {path!r}; there are {', '.join(paths)}"

    async def _ping(self, _scope: Scope, _receive: Receive) -> Answer:
        words = self._why_not_ready(self.hangs.why_none_answers)
        return error_answer(503, words) if words else Answer(200, b'{"status": "ready"}')

    async def _ready(
        self, named: dict[str, str], why_not: WhyNot, _scope: Scope, _receive: Receive
    ) -> Answer:
        """Say it in the words of the Open Inference Protocol."""
        words = self._why_not_ready(why_not)
        error = {"error": words} if words else {}
        return Answer(503 if words else 200, json.dumps({**named, "ready": not words, **error}).encode())

    def _why_not_ready(self, why_not: WhyNot) -> str | None:
        return "shutting down" if self.draining else why_not()

    async def _metrics(self, _scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, self._meters.render(), CONTENT_TYPE)


def _fixed(document: dict[str, object]) -> Handler:
    return _always(Answer(200, json.dumps(document, allow_nan=False).encode()))


def _always(answer: Answer) -> Handler:
    async def handle(_scope: Scope, _receive: Receive) -> Answer:
        return answer

    return handle
