"""What is known about a load test besides its requests."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.loadgen.watch.usage import WindowUsage


@dataclass(frozen=True)
class Circumstances:
    """What the server and the generator used, and what they shared."""

    usage: WindowUsage | None
    shared_cores: int
    """Cores that both the server and the generator may use."""
    server_unseen: bool
    """The server is on this machine, but its process was not found."""
    logical_cores: int
    workers: int = 1
    """Processes of the generator on this machine; each can use one core."""
