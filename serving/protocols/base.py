"""The contract of a protocol: which paths it answers, how it reads a request, how it is described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from modeldyno.serving.meters.per_model import Counts
    from modeldyno.serving.models.base import ServedModel, Signature
    from modeldyno.serving.wire.answer import Answer, Call, Headers


@dataclass(frozen=True)
class ModelFacts:
    """What a protocol tells of a model."""

    name: str
    signature: Signature
    is_first: bool = True
    """Whether it is the one that is asked where a protocol has no names for models."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What the server tells of it beside its signature, as JSON."""


@dataclass(frozen=True)
class Document:
    """A GET that always gives the same JSON."""

    content: dict[str, Any]


@dataclass(frozen=True)
class Ready:
    """A GET that says whether requests are answered; `named` stands before that."""

    named: dict[str, str]


@dataclass(frozen=True)
class Infer:
    """A POST that runs one inference of the model."""


@dataclass(frozen=True)
class ModelState:
    """How a model is when it is asked for."""

    name: str
    why_not: str | None
    """Why its requests are not answered; None where they are."""
    counts: Counts


@dataclass(frozen=True)
class Control:
    """Asks about models, or of the server to do something with them; what is not done is refused here.

    `answer` gets the models that it is about, all or one, and the request's body; it gives what is written as
    JSON. Raises RequestError.
    """

    method: Literal["GET", "POST"]
    answer: Callable[[tuple[ModelState, ...], bytes], Any]


OfServer: TypeAlias = Document | Ready | Control
Action: TypeAlias = OfServer | Infer


@dataclass(frozen=True)
class Description:
    """Paths in the words of OpenAPI, and a remark on them."""

    paths: dict[str, dict[str, Any]]
    remark: str = ""


class WireProtocol(Protocol):
    """One protocol. It knows nothing of queues, threads and connections."""

    def server_routes(self) -> dict[str, OfServer]:
        """Give what it answers of the server, whichever models there are."""

    def routes(self, model: ModelFacts) -> dict[str, Action]:
        """Give what it answers of one model."""

    def read(self, model: ServedModel, name: str, headers: Headers, body: bytes, max_bytes: int) -> Call:
        """Read a request for the model of that name; it unpacks to `max_bytes` at most.

        Raises:
            RequestError: whatever is wrong with it; of a model's own reader, whatever that raises.
        """

    def dress(self, headers: Headers, answer: Answer) -> Answer:
        """Give an answer its last form: errors in the protocol's shape, headers of its own."""

    def describe_server(self) -> Description:
        """Describe `server_routes`."""

    def describe(self, model: ModelFacts) -> Description:
        """Describe `routes`."""

    def why_unknown(self, path: str, names: list[str]) -> str | None:
        """Say which model a path of this protocol names in vain; None where that is not what is wrong."""
