"""One HTTP answer, and one inference asked for: what the protocols, the queue and the application share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from dyno.errors import RequestError

if TYPE_CHECKING:
    import numpy as np

JSON = "application/json"
Headers = dict[bytes, bytes]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Request:
    """One request for an inference, its body as it was sent."""

    headers: Headers
    body: bytes
    arrived_s: float  # perf_counter, when its headers were there

    def check_deadline(self, timeout_s: float | None) -> None:
        """Refuse a request that has waited so long that nobody wants it any more.

        Raises:
            RequestError: it has (504).
        """
        waited_s = perf_counter() - self.arrived_s
        if timeout_s is not None and waited_s > timeout_s:
            raise RequestError(
                f"waited {waited_s * 1000:.1f} ms for its turn, longer than its deadline of "
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


def error_json(message: str) -> bytes:
    """Write the body of an error answer."""
    return json.dumps({"error": message}).encode()


def error_answer(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Make an error answer."""
    return Answer(status, error_json(message), headers=headers)


def header(headers: Headers, name: bytes) -> str:
    """Read one header of a request; empty when it is not there."""
    return headers.get(name, b"").decode("latin-1")
