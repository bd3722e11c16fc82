"""The models of one server process by name, each with its own workers and queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modeldyno.serving.dispatch.admission import Queue
    from modeldyno.serving.dispatch.batching import Batcher
    from modeldyno.serving.dispatch.joining import Joining
    from modeldyno.serving.dispatch.pool import WorkerPool
    from modeldyno.serving.meters.per_model import ModelMeter
    from modeldyno.serving.models.base import Signature


@dataclass(frozen=True)
class ShelvedModel:
    """One loaded model: who runs it, who waits for it, and what a request of it may take."""

    name: str
    pool: WorkerPool
    queue: Queue
    joining: Joining
    batcher: Batcher | None
    """What joins its requests; None where each runs alone."""
    meter: ModelMeter
    max_body_bytes: int
    timeout_s: float | None
    """A request without an answer so long after it came is answered 504; None: however long."""
    memory_bytes: int = 0
    """What the process grew by while it was loaded and run first."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.pool.models[0].signature


class Shelf:
    """Models by name, at least one; the first is meant where a protocol has no names."""

    def __init__(self, models: Iterable[ShelvedModel]) -> None:
        self._by_name = {model.name: model for model in models}

    def __getitem__(self, name: str) -> ShelvedModel:
        return self._by_name[name]

    def __iter__(self) -> Iterator[ShelvedModel]:
        return iter(self._by_name.values())

    @property
    def names(self) -> list[str]:
        """Names in their order."""
        return list(self._by_name)

    @property
    def first(self) -> ShelvedModel:
        """The model that is meant where none is named."""
        return next(iter(self))

    def close(self) -> None:
        """Let the workers end after what they have begun."""
        for model in self:
            model.pool.close()
