"""The ASGI application: the paths of the server, of its protocols and its models; errors as JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from time import perf_counter
from types import MethodType

from modeldyno.base.errors import RequestError
from modeldyno.serving.dispatch.hang import HangWatch
from modeldyno.serving.dispatch.notebook import Notebook
from modeldyno.serving.dispatch.shelf import Shelf
from modeldyno.serving.meters.board import Member
from modeldyno.serving.meters.metrics import CONTENT_TYPE, Meters
from modeldyno.serving.protocols import openapi
from modeldyno.serving.protocols.base import WireProtocol
from modeldyno.serving.web.body import TIMED_OUT, TOO_LARGE, Receive
from modeldyno.serving.web.connection import CONNECTION, Connection
from modeldyno.serving.web.heads import CLOSE
from modeldyno.serving.web.inference import Scope
from modeldyno.serving.web.routes import Handler, Route, Routes, always, fixed
from modeldyno.serving.wire.answer import Answer, ClientLeftError, error_answer

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
        notebook = None if member.alone else Notebook(member.board.notes[member.number])
        for model in shelf:
            model.pool.after_job = notebook.end if notebook else None
        self._made = Routes(shelf, self.hangs, notebook, lambda: self.draining)
        self._routes = dict(self._all_routes())

    async def __call__(self, scope: Scope, receive: Receive, send: MethodType) -> None:
        """Answer one request; `send` is the method of its cycle, which knows where to."""
        started_s = perf_counter()
        connection: Connection = scope["state"][CONNECTION]
        route = self._routes.get(scope["path"])
        answer = await self._answer(route, scope, receive)
        if answer is not None:
            await connection.answer(send.__self__, answer, close=self.draining)
        seconds = perf_counter() - started_s
        if connection.lost or (connection.client_done and not await connection.see_off()):
            answer = None
        if route is not None and route.meter is not None and scope["method"] == "POST":
            route.meter.answered(answer.status if answer else None, seconds)
        del scope["state"][CONNECTION]  # which knows its newest request in turn

    def _all_routes(self) -> Iterator[tuple[str, Route]]:
        facts = [self._made.facts(model) for model in self._shelf]
        described = [
            each
            for protocol in self._protocols
            for each in (protocol.describe_server(), *map(protocol.describe, facts))
        ]
        document = openapi.document(self._shelf.names, version("modeldyno"), described)
        yield "/ping", Route("GET", self._ping)
        yield "/metrics", Route("GET", self._metrics)
        yield "/openapi.json", Route("GET", fixed(document))
        for protocol in self._protocols:
            yield from self._made.of(protocol)

    async def _answer(self, route: Route | None, scope: Scope, receive: Receive) -> Answer | None:
        """Answer in the words of the protocol that the path is of."""
        protocol, answer = self._unknown(scope) if route is None else (route.protocol, None)
        if route is not None:
            answer = await self._attempt(route, scope, receive)
        if protocol is None or answer is None:
            return answer
        return protocol.dress(dict(scope["headers"]), answer)

    async def _attempt(self, route: Route, scope: Scope, receive: Receive) -> Answer | None:
        try:
            return await self._handler(route, scope)(scope, receive)
        except RequestError as error:
            close = (CLOSE,) if error.status == TIMED_OUT else ()
            of_model = error.field is None and error.status not in (TIMED_OUT, TOO_LARGE)
            return error_answer(error.status, str(error), *close, of_model=of_model)
        except ClientLeftError:
            return None
        except asyncio.CancelledError:  # the time in which the server ends gently is over
            return error_answer(503, "the server has ended before the answer was there", CLOSE)
        except Exception as error:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            words = f"this request made the server fail: {type(error).__name__}: {error}"
            return error_answer(500, words, of_model=True)

    def _handler(self, route: Route, scope: Scope) -> Handler:
        method = scope["method"]
        if method == route.method or (method == "HEAD" and route.method == "GET"):
            return route.handler
        if method == "OPTIONS":
            return always(_options(route.methods))
        words = f"{scope['path']} takes {route.method}, found {method}"
        return always(error_answer(405, words, _allow(route.methods)))

    def _unknown(self, scope: Scope) -> tuple[WireProtocol | None, Answer | None]:
        path = scope["path"]
        if scope["method"] == "OPTIONS" and path == "*":  # of the server as a whole
            return None, _options(("GET", "HEAD", "OPTIONS", "POST"))
        for protocol in self._protocols:
            if why := protocol.why_unknown(path, self._shelf.names):
                return protocol, error_answer(404, why)
        paths = (name for name in self._routes if "/versions/" not in name)
        return None, error_answer(404, f"no such path {path!r}; there are {', '.join(paths)}")

    async def _ping(self, _scope: Scope, _receive: Receive) -> Answer:
        words = self._made.why_not_ready(self.hangs.why_none_answers)
        return error_answer(503, words) if words else Answer(200, b'{"status": "ready"}')

    async def _metrics(self, _scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, self._meters.render(), CONTENT_TYPE)


def _options(methods: tuple[str, ...]) -> Answer:
    return Answer(204, b"", headers=(_allow(methods),))


def _allow(methods: tuple[str, ...]) -> tuple[bytes, bytes]:
    return b"allow", ", ".join(methods).encode()
