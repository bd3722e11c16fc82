"""The contract of a protocol: which paths it answers, how it reads a request, how it is described."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from modeldyno.serving.models.base import ServedModel, Signature
    from modeldyno.serving.wire.answer import Call, Headers


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


Action: TypeAlias = Document | Ready | Infer


@dataclass(frozen=True)
class Description:
    """Paths in the words of OpenAPI, and a remark on them."""

    paths: dict[str, dict[str, Any]]
    remark: str = ""


class WireProtocol(Protocol):
    """One protocol. It knows nothing of queues, threads and connections."""

    def server_routes(self) -> dict[str, Document | Ready]:
        """Give what it answers of the server, whichever models there are."""

    def routes(self, model: ModelFacts) -> dict[str, Action]:
        """Give what it answers of one model."""

    def read(self, model: ServedModel, name: str, headers: Headers, body: bytes, max_bytes: int) -> Call:
        """Read a request for the model of that name; it unpacks to `max_bytes` at most.

        Raises:
            RequestError: whatever is wrong with it; of a model's own reader, whatever that raises.
        """

    def describe_server(self) -> Description:
        """Describe `server_routes`."""

    def describe(self, model: ModelFacts) -> Description:
        """Describe `routes`."""

    def why_unknown(self, path: str, names: list[str]) -> str | None:
        """Say which model a path of this protocol names in vain; None where that is not what is wrong."""
