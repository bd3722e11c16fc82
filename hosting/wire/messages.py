"""One HTTP request and its answer, as the services see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Head:
    """A request without its body. `path` is as sent, percent-encoded; headers' names are in small letters."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_id: str


@dataclass(frozen=True)
class Answer:
    """An answer. The body is bytes, or pieces of a file: `length` is then its number of bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""
    length: int | None = None

    @property
    def size(self) -> int:
        """How many bytes the body has."""
        return len(self.body) if isinstance(self.body, bytes) else self.length or 0


class Sink(Protocol):
    """Takes a request's body piece by piece. Every call may block, and is made off the loop."""

    def write(self, piece: bytes) -> None:
        """Take the next piece; raises ApiError."""

    def finish(self) -> Answer:
        """The body is complete."""
        ...

    def abort(self) -> None:
        """The client has left, or an error was answered: leave nothing behind."""


def query_of(text: str) -> dict[str, str]:
    """Read a query; a name without a value has the value ''."""
    return dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=10_000))
