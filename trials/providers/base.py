"""Where candidates run. A provider brings up a model server in the shape of an instance type.

This machine (`local`) is the only one so far. Another place to run needs the three members of `Provider`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modeldyno.base.records.run import Candidate, Fidelity, InstanceType


@dataclass(frozen=True)
class Launch:
    """What to bring up."""

    candidate: Candidate
    instance: InstanceType
    model: Path
    """The artifact folder or ONNX file to serve."""
    log: Path
    """Where everything that the server writes goes."""
    startup_timeout_s: float


class Endpoint(Protocol):
    """A server that answers; valid inside the context that made it."""

    @property
    def url(self) -> str:
        """Where a request is sent, the path included."""

    @property
    def startup_s(self) -> float:
        """Seconds from the start to the first successful /ping."""

    @property
    def server_pid(self) -> int | None:
        """The server's process, None when it is on another host."""

    @property
    def generator_cpus(self) -> tuple[int, ...] | None:
        """Cores for the load generator, None when it takes its share of all."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How this differs from the real instance type, in words."""

    def death(self) -> str | None:
        """Say why the server is gone, or return None while it lives."""


class Provider(Protocol):
    """A place where candidates run."""

    def refusal(self, instance: InstanceType) -> str | None:
        """Say why this instance type cannot run here, or return None; starts nothing."""

    def fidelity(self, instance: InstanceType) -> Fidelity:
        """How near the numbers taken here are to that instance type."""

    def launch(self, order: Launch) -> AbstractContextManager[Endpoint]:
        """Start a server, wait until it is ready, and take all of it down on leaving.

        Raises:
            ServerError: it died or never got ready; its output is in `order.log`.
        """
