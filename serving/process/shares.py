"""Which cores each of several worker processes gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


def by_neighbours(cores: Sequence[int]) -> list[int]:
    """Order cores such that the hyperthreads of one physical core stand side by side, where that is known."""
    return sorted(cores, key=lambda core: (_read(core, "physical_package_id"), _read(core, "core_id"), core))


def _read(core: int, name: str) -> int:
    try:
        return int(Path(_TOPOLOGY.format(core=core, name=name)).read_text())
    except (OSError, ValueError):
        return 0
