"""What answers which path: of the server itself, of its protocols, of its models."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from modeldyno.serving.dispatch.hang import HangWatch
from modeldyno.serving.dispatch.notebook import Notebook
from modeldyno.serving.dispatch.shelf import Shelf, ShelvedModel
from modeldyno.serving.meters.per_model import ModelMeter
from modeldyno.serving.protocols.base import (
    Action,
    Control,
    Document,
    Infer,
    ModelFacts,
    ModelState,
    Ready,
    WireProtocol,
)
from modeldyno.serving.web.body import Receive, read_body
from modeldyno.serving.web.inference import Inference, Scope
from modeldyno.serving.wire.answer import Answer

Handler = Callable[[Scope, Receive], Awaitable[Answer | None]]
Told = Callable[[tuple[ModelState, ...], bytes], object]
WhyNot = Callable[[], str | None]  # why no request is answered; None where one is
_MOST_CONTROL_BYTES = 1 << 20


@dataclass(frozen=True)
class Route:
    """One path: the method that it takes, and what answers it."""

    method: str
    handler: Handler
    protocol: WireProtocol | None = None
    """In whose words its errors are; None: of the server itself."""
    meter: ModelMeter | None = None
    """Where its requests are counted: of inferences."""

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods that it answers."""
        return (self.method, *(["HEAD"] if self.method == "GET" else []), "OPTIONS")


class Routes:
    """Makes the routes of all models by all protocols; `is_draining` says whether the server ends."""

    def __init__(
        self, shelf: Shelf, hangs: HangWatch, notebook: Notebook | None, is_draining: Callable[[], bool]
    ) -> None:
        self._shelf = shelf
        self._hangs = hangs
        self._notebook = notebook
        self._is_draining = is_draining

    def of(self, protocol: WireProtocol) -> Iterator[tuple[str, Route]]:
        """Give those of one protocol, by path."""
        for path, told in protocol.server_routes().items():
            yield path, self._route(told, protocol, tuple(self._shelf), self._hangs.why_none_answers)
        for model in self._shelf:
            why_not = partial(self._hangs.why_not, model)
            for path, action in protocol.routes(self.facts(model)).items():
                yield path, self._route(action, protocol, (model,), why_not)

    def facts(self, model: ShelvedModel) -> ModelFacts:
        """Give what protocols tell of a model."""
        is_first = model is self._shelf.first
        return ModelFacts(model.name, model.signature, is_first, model.joining.facts())

    def why_not_ready(self, why_not: WhyNot) -> str | None:
        """Say why no request is answered; None where one is."""
        return "shutting down" if self._is_draining() else why_not()

    def _route(
        self, action: Action, protocol: WireProtocol, models: tuple[ShelvedModel, ...], why_not: WhyNot
    ) -> Route:
        match action:
            case Document(content):
                return Route("GET", fixed(content), protocol)
            case Ready(named):
                return Route("GET", partial(self._ready, named, why_not), protocol)
            case Control(method, answer):
                return Route(method, partial(self._control, answer, models), protocol)
            case Infer():
                return Route(
                    "POST", Inference(models[0], protocol, self._notebook), protocol, models[0].meter
                )

    async def _ready(
        self, named: dict[str, str], why_not: WhyNot, _scope: Scope, _receive: Receive
    ) -> Answer:
        """Say it in the words of the Open Inference Protocol."""
        words = self.why_not_ready(why_not)
        error = {"error": words} if words else {}
        return Answer(503 if words else 200, json.dumps({**named, "ready": not words, **error}).encode())

    async def _control(
        self, answer: Told, models: tuple[ShelvedModel, ...], scope: Scope, receive: Receive
    ) -> Answer | None:
        body = await read_body(dict(scope["headers"]), receive, _MOST_CONTROL_BYTES, scope["state"])
        if body is None:
            return None
        states = tuple(self._state(model) for model in models)
        return Answer(200, json.dumps(answer(states, body), allow_nan=False).encode())

    def _state(self, model: ShelvedModel) -> ModelState:
        why_not = self.why_not_ready(partial(self._hangs.why_not, model))
        return ModelState(model.name, why_not, model.meter.counts())


def fixed(document: dict[str, object]) -> Handler:
    """Answer with the same JSON each time."""
    return always(Answer(200, json.dumps(document, allow_nan=False).encode()))


def always(answer: Answer) -> Handler:
    """Answer the same each time."""

    async def handle(_scope: Scope, _receive: Receive) -> Answer:
        return answer

    return handle
