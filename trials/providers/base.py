"""Where candidates run. A provider brings up a model server in the shape of an instance type.

This machine (`local`) is the only one so far. Another place to run needs the four members of `Provider`, and
a `Deployment`. Neither presumes that the server is a process of this machine.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modeldyno.base.records.run import Candidate, Fidelity, InstanceType
from modeldyno.loadgen.generator.fleet import Workers


@dataclass(frozen=True)
class Order:
    """What to bring up."""

    candidate: Candidate
    instance: InstanceType
    model: Path
    """The artifact folder or ONNX file to serve."""
    log: Path
    """Where everything that the server writes goes."""
    startup_timeout_s: float
    capped: bool = True
    """Whether its memory is limited to that of the instance type; not where it is up beside others."""


@dataclass(frozen=True)
class State:
    """Whether a deployment answers."""

    serving: bool
    reason: str = ""
    """Why it does not."""


SERVING = State(serving=True)


@dataclass(frozen=True)
class ProcessTree:
    """Usage is read from a process of this machine and all that descend from it."""

    pid: int


class Deployment(Protocol):
    """A server that answers; valid inside the context that made it."""

    @property
    def url(self) -> str:
        """Where a request is sent, the path included."""

    @property
    def startup_s(self) -> float:
        """Seconds from the start to the first successful /ping."""

    @property
    def state(self) -> State:
        """Whether it still answers, as its provider knows now."""

    @property
    def usage(self) -> ProcessTree | None:
        """What the server's CPU and memory are read from; None where they can't be read."""

    @property
    def generator(self) -> Workers:
        """Which processes may load it, and on which cores."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How this differs from the real instance type, in words."""

    @property
    def cores(self) -> tuple[int, ...]:
        """Cores of this machine that it runs on; empty where it runs elsewhere."""

    @property
    def pausing(self) -> Pausing | None:
        """How it is kept from working while others are measured; None where its provider can't."""


class Pausing(Protocol):
    """Stops a server's processes where they are, and lets them go on."""

    def pause(self) -> None:
        """From now on it uses no CPU, and answers nothing."""

    def resume(self) -> None:
        """It goes on as if no time had passed; nothing happens to one that runs."""


class Provider(Protocol):
    """A place where candidates run."""

    @property
    def name(self) -> str:
        """What run folders know it by: trials of two providers never lie in one."""

    def refusal(self, instance: InstanceType) -> str | None:
        """Say why this instance type cannot run here, or return None; starts nothing."""

    def fidelity(self, instance: InstanceType) -> Fidelity:
        """How near the numbers taken here are to that instance type."""

    def notes(self, instance: InstanceType) -> tuple[str, ...]:
        """How what is measured here differs from that instance type, in words."""

    def deploy(self, order: Order) -> AbstractContextManager[Deployment]:
        """Start a server, wait until it is ready, and take all of it down on leaving.

        Raises:
            ServerError: it died or never got ready; its output is in `order.log`.
        """
