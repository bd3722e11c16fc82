"""One HTTP answer, and one inference asked for: what the protocols, the queue and the application share."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from modeldyno.base.errors import RequestError

if TYPE_CHECKING:
    import numpy as np

JSON = "application/json"
NPY = "application/x-npy"
NPZ = "application/x-npz"
RAW = "application/octet-stream"
Headers = dict[bytes, bytes]
_IDS = (
    (b"x-request-id", b"X-Request-Id"),
    (b"x-amzn-sagemaker-inference-id", b"InferenceId"),
    (b"amz-sdk-invocation-id", b"amz-sdk-invocation-id"),
)


@dataclass(frozen=True)
class Fault:
    """What is wrong, where an answer is an error."""

    message: str
    of_model: bool
    """Whether a model, or what reads for it, said so; else the server did, before any model was asked."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    fault: Fault | None = None


class ClientLeftError(Exception):
    """Nobody waits for this answer any more."""


class Request:
    """One request for an inference, its body as it was sent; dropped when nobody waits for its answer.

    The event loop has it, but for `begin` and `check_deadline`, which are for the thread that runs it.
    """

    __slots__ = ("_dropped", "_turn", "arrived_s", "begun", "body", "connection", "headers", "path")

    def __init__(self, path: str, connection: int, headers: Headers, arrived_s: float) -> None:
        self.path = path
        self.connection = connection  # its number, where it is lent
        self.headers = headers
        self.body: bytes | None = None  # None: it is not here
        self.arrived_s = arrived_s  # perf_counter, when its headers were there
        self.begun = False
        self._turn: asyncio.Future[Answer] | None = None
        self._dropped = False  # not the reason: its traceback would keep the body

    def line(self) -> bytes:
        """Describe it for a log."""
        text = f"POST {self.path}"
        named = next(((words, self.headers[name]) for name, words in _IDS if name in self.headers), None)
        return text.encode() if named is None else b"%s, %s %s" % (text.encode(), named[0], named[1][:200])

    def wait_for(self, turn: asyncio.Future[Answer]) -> asyncio.Future[Answer]:
        """Return `turn`, which fails with what `drop` is given if that comes first."""
        self._turn = turn
        if self._dropped and not turn.done():
            turn.set_exception(ClientLeftError())
        return turn

    def begin(self) -> bytes:
        """Begin to run it; returns its body.

        Raises:
            ClientLeftError: it was dropped; nobody hears of this.
        """
        body = self.body  # first: `drop` takes it away last
        if self._dropped or body is None:
            raise ClientLeftError
        self.begun = True
        return body

    def drop(self, why: Exception) -> None:
        """Answer with `why` at once; if it has not begun it never will, and its body is let go."""
        self._dropped = True
        self.body = None
        if self._turn is not None and not self._turn.done():
            self._turn.set_exception(why)

    def leave(self) -> None:
        """Drop it: its client has left."""
        self.drop(ClientLeftError())

    def expire(self, timeout_s: float) -> None:
        """Drop it: its deadline has passed (504)."""
        if self.begun:
            words = f"no answer within its deadline of {timeout_s * 1000:g} ms: its inference still runs"
            self.drop(RequestError(words, status=504))
        else:
            self.drop(self._late(timeout_s))

    def check_deadline(self, timeout_s: float | None) -> None:
        """Refuse a request that has waited so long that nobody wants it any more.

        Raises:
            RequestError: it has (504).
        """
        if timeout_s is not None and self._waited_s() > timeout_s:
            raise self._late(timeout_s)

    def _waited_s(self) -> float:
        return perf_counter() - self.arrived_s

    def _late(self, timeout_s: float) -> RequestError:
        return RequestError(
            f"waited {self._waited_s() * 1000:.1f} ms for its turn, longer than its deadline of "
            f"{timeout_s * 1000:g} ms: not begun",
            status=504,
        )


class Call(Protocol):
    """One inference, read from a request of whichever protocol."""

    @property
    def feeds(self) -> dict[str, np.ndarray]:
        """Arrays that follow the model's inputs."""

    @property
    def timeout_s(self) -> float | None:
        """How long after its arrival the client still wants it to begin; None: however long."""

    def answer(self, outputs: dict[str, np.ndarray]) -> Answer:
        """Write the answer.

        Raises:
            RequestError: the outputs can't be said in the type that was asked for.
        """


def media_type(text: str) -> str:
    """Return the type of a Content-Type or Accept entry, without its parameters."""
    return text.split(";", 1)[0].strip().lower()


def error_json(message: str) -> bytes:
    """Write the body of an error answer."""
    return json.dumps({"error": message}).encode()


def error_answer(status: int, message: str, *headers: tuple[bytes, bytes], of_model: bool = False) -> Answer:
    """Make an error answer."""
    return Answer(status, error_json(message), headers=headers, fault=Fault(message, of_model))


def header(headers: Headers, name: bytes) -> str:
    """Read one header of a request; empty when it is not there."""
    return headers.get(name, b"").decode("latin-1")
