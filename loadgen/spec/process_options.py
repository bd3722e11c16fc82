"""Options of `dyno load` on processes: the one that is watched, and those that send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from modeldyno.base.host.cores import own_core_numbers
from modeldyno.base.settings import Setting
from modeldyno.loadgen.spec.bounds import MAX_SECONDS


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Which processes: the one that is watched, and those that send."""

    server_pid: Annotated[
        int | None,
        Setting(
            "Process to read CPU and memory of, with its children.",
            absent="the local one that listens",
            least=1,
        ),
    ] = None
    cpus: Annotated[
        tuple[int, ...] | None,
        Setting(
            "Cores the load generator stays on, e.g. 0,1.", absent="all usable ones", parse=own_core_numbers
        ),
    ] = None
    workers: Annotated[
        int,
        Setting(
            "Processes that send; above 1 they are workers of a Locust master, and share the load among "
            "them.",
            least=0,
            most=256,
            flag="--load-workers",
            old="--workers",
        ),
    ] = 1
    expect_workers: Annotated[
        int,
        Setting(
            "Wait for so many more on other machines, where `dyno load-worker` starts them.",
            least=0,
            most=256,
        ),
    ] = 0
    master_bind: Annotated[
        str | None,
        Setting(
            "With `expect_workers`: where the master listens; whoever reaches it can join, so no open "
            "network.",
            metavar="HOST[:PORT]",
        ),
    ] = None
    connect_timeout_s: Annotated[
        float,
        Setting(
            "With `expect_workers`: seconds to wait for them.",
            above=0,
            most=MAX_SECONDS,
            flag="--connect-timeout",
        ),
    ] = 600.0
