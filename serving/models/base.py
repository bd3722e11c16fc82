"""The contract of what is served: a model, and where it is loaded from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from modeldyno.base.rowflow.records import Verdict

if TYPE_CHECKING:
    from modeldyno.base.records.record import TensorSpec
    from modeldyno.serving.wire.answer import Call, Headers

Feeds: TypeAlias = dict[str, Any]  # arrays by name; what user code makes of a request


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, and how many rows of it."""

    engine: str
    """`onnxruntime` or `compiled`, the word that candidates use; or `user code`."""
    platform: str
    """The platform string of the Open Inference Protocol."""
    inputs: tuple[TensorSpec, ...] = ()
    """In the model's order; none where it reads bytes itself."""
    outputs: tuple[TensorSpec, ...] = ()
    preferred_rows: tuple[int, ...] = ()
    """Numbers of rows that it is fastest at; none where it does not say."""
    most_rows: int | None = None
    """The number of rows up to which it takes every number; None: no bound is known."""
    why_alone: str = ""
    """Why its requests are never joined, whatever its rows are; empty where they may be."""


class ServedModel(Protocol):
    """A loaded model. One thread at a time uses it, unless its source says otherwise."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""

    def read(self, headers: Headers, body: bytes, max_bytes: int) -> Call:
        """Read a request in the model's own way; it unpacks to `max_bytes` at most.

        Raises:
            RequestError: whatever is wrong with it.
        """

    def run(self, feeds: Feeds) -> Feeds:
        """Run one inference: on arrays that follow the signature, or on what its own `read` gave.

        Raises:
            RequestError: the model refuses these values.
        """

    def warm_up(self) -> int:
        """Run on zeros what a first request would wait for; give the number of inferences."""

    def close(self) -> None:
        """Let go of what the model holds beside memory; nobody runs it any more."""


class ModelSource(Protocol):
    """A model that is not loaded yet."""

    def verdict(self) -> Verdict:
        """Say what is proved of whether its rows depend on one another.

        Raises:
            ArtifactError: the artifact is damaged.
        """

    def loader(self) -> Callable[[], ServedModel]:
        """Return what gives each worker thread its model; several may get the same one.

        Raises:
            ModelError, ArtifactError: it can't be loaded; now or when the result is called.
        """
