"""CPU clocks of processes, to the nanosecond (Linux): what a server used in a block, and what others did.

A process's own clock counts all of its threads, ended ones too. /proc/PID/stat counts in steps of 10 ms:
a block of 0.25 s is 25 of these.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

_SCHED_CLOCK = 2  # CPUCLOCK_SCHED of the kernel's include/linux/posix-timers.h; clock_getcpuclockid(3)
_PROCESSOR_FIELD = 36
"""Of /proc/PID/stat, from the state on: the core that it ran on last."""
NS_PER_S = 1e9


def cpu_ns(pid: int) -> int | None:
    """CPU time of a process so far; None where it is gone, or the system has no such clock."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError):
        return time.clock_gettime_ns((~pid << 3) | _SCHED_CLOCK)
    return None


def tree(pid: int) -> tuple[int, ...]:
    """A process and all that descend from it; looks at every process, so not between blocks."""
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        return (pid, *(child.pid for child in root.children(recursive=True)))
    return ()


def used_s(pids: Iterable[int]) -> float | None:
    """CPU seconds of these processes so far; None where one can't be read."""
    found = [cpu_ns(pid) for pid in pids]
    if not found or None in found:
        return None
    return sum(each for each in found if each is not None) / NS_PER_S


def all_clocks() -> dict[int, int]:
    """CPU nanoseconds of every process of this machine that can be seen."""
    found = dict[int, int]()
    with suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - a hundred times a minute
            if name.isdigit() and (used := cpu_ns(int(name))) is not None:
                found[int(name)] = used
    return found


def spent_elsewhere_s(
    before: Mapping[int, int], after: Mapping[int, int], known: frozenset[int], cores: frozenset[int]
) -> float:
    """CPU seconds between two readings of `all_clocks`, of processes that are not `known`, on these cores.

    A process counts as on the core that it ran on last. One that came and went in between is not seen.
    """
    spent_ns = 0
    for pid, now in after.items():
        grown = now - before.get(pid, 0)
        if grown > 0 and pid not in known and _last_core(pid) in cores | {None}:
            spent_ns += grown
    return spent_ns / NS_PER_S


def _last_core(pid: int) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_PROCESSOR_FIELD])
    return None
