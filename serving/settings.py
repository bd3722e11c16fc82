"""How to serve models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NamedModel:
    """A model by the name that it is served under."""

    name: str
    path: Path


@dataclass(frozen=True)
class ServeSettings:
    """How to serve a model; the flags of `dyno serve`. Workers, queue and batches are those of each model."""

    path: Path
    host: str = "127.0.0.1"
    port: int = 8080
    port_file: Path | None = None
    threads: int | None = None
    workers: int = 1
    processes: int = 1
    model_name: str = "model"
    cpus: tuple[int, ...] | None = None
    max_body_mib: int = 64
    max_waiting: int = 256
    max_batch: int = 1
    batch_delay_ms: float = 0.0
    preferred_batch: tuple[int, ...] = ()
    rows_independent: bool = False
    timeout_ms: float | None = None
    client_timeout_s: float = 60.0
    more_models: tuple[NamedModel, ...] = ()
    """Models beside that of `path`, in the same processes; no flag has them yet."""

    @property
    def models(self) -> tuple[NamedModel, ...]:
        """All models; the first is meant where a protocol has no names."""
        return (NamedModel(self.model_name, self.path), *self.more_models)
