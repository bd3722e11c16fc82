"""The settings of a model server that a job may choose too.

A new one is a field here: `dyno serve` gets its option, a job's `server` its field, each trial's record and
its server's command line its value. Imported by commands: no pydantic here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from modeldyno.base.settings import Setting


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """What a job compares: how much of a model runs at a time."""

    threads: Annotated[
        int | None,
        Setting(
            "Threads inside one inference.",
            absent="cores of a process divided by its workers",
            least=1,
        ),
    ] = None
    workers: Annotated[
        int, Setting("Inferences that may run side by side in each process.", least=1, most=256)
    ] = 1
    processes: Annotated[
        int,
        Setting(
            "Server processes behind the port, each with its share of the cores; one that dies is replaced.",
            least=1,
            most=256,
        ),
    ] = 1
    max_batch: Annotated[
        int,
        Setting(
            "Rows that requests which wait together may be joined to in one inference; 1 joins none.",
            least=1,
            most=4096,
        ),
    ] = 1
    batch_delay_ms: Annotated[
        float,
        Setting(
            "How long a request may wait for others to join; with 0 it waits only for a free worker.",
            least=0,
            most=10_000,
        ),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """What a job says once, for all servers that it starts."""

    max_waiting: Annotated[
        int,
        Setting(
            "Requests that may wait for a worker, in each process; one more is answered 503.",
            least=0,
            most=1_000_000,
        ),
    ] = 256
    timeout_ms: Annotated[
        float | None,
        Setting(
            "A request without an answer by then is answered 504; a worker that then hangs on is replaced.",
            absent="none",
            above=0,
            flag="--deadline-ms",
            old="--timeout-ms",
        ),
    ] = None
    rows_independent: Annotated[
        bool,
        Setting(
            "Join requests where nothing proves, nor refutes, that no row of a batch depends on another."
        ),
    ] = False
    drain_delay_s: Annotated[
        float,
        Setting(
            "Seconds from the signal to the end of accepting; /ping answers 503 meanwhile, so that a load "
            "balancer sends no more.",
            least=0,
            most=3600,
            flag="--drain-delay",
        ),
    ] = 0.0
