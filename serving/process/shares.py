"""Which cores a worker process gets, and stays on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import usable_cores

_TOPOLOGY = "/sys/devices/system/cpu/cpu{core}/topology/{name}"


@dataclass(frozen=True)
class Share:
    """The cores of one process, and the threads that one inference in it gets."""

    cores: tuple[int, ...]
    threads: int


def shares(cores: Sequence[int], processes: int, workers: int, threads: int | None = None) -> list[Share]:
    """Share cores out: as many for each process as go round; those left over may be used by all.

    `cores` come with neighbours side by side (`by_neighbours`). Where there are fewer cores than processes
    nobody has one of its own. By default the threads of all inferences that may run side by side in a
    process are no more than the cores of its own.
    """
    each = len(cores) // processes
    left = tuple(cores[each * processes :]) if each else tuple(cores)
    return [
        Share(
            tuple(sorted((*cores[number * each : (number + 1) * each], *left))),
            threads or max(1, each // workers),
        )
        for number in range(processes)
    ]


def pin(cpus: tuple[int, ...] | None) -> None:
    """Keep this process, and the threads it will start, on these cores.

    Raises:
        ConfigError: there are no such cores here, or the system can't pin.
    """
    if cpus is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(
            "`cpus` works on Linux only: this system can't pin a process to cores", field="cpus"
        )
    usable = usable_cores()
    if not cpus or set(cpus) - set(usable):
        raise ConfigError(f"`cpus` {_listed(cpus)}: the usable cores are {_listed(usable)}", field="cpus")
    os.sched_setaffinity(0, cpus)


def by_neighbours(cores: Sequence[int]) -> list[int]:
    """Order cores such that the hyperthreads of one physical core stand side by side, where that is known."""
    return sorted(cores, key=lambda core: (_read(core, "physical_package_id"), _read(core, "core_id"), core))


def _read(core: int, name: str) -> int:
    try:
        return int(Path(_TOPOLOGY.format(core=core, name=name)).read_text())
    except (OSError, ValueError):
        return 0


def _listed(cores: Sequence[int]) -> str:
    return ",".join(map(str, cores)) or "none"
