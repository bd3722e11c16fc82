"""How to serve one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ServeSettings:
    """How to serve one model; the flags of `dyno serve`."""

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
