"""What the system tells of process trees at one moment: memory, threads, switches between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)

Switches = Mapping[tuple[int, int], tuple[int, int]]
"""Voluntary and involuntary switches so far, by process and thread."""


@dataclass(frozen=True)
class Look:
    """A process tree's memory and threads."""

    processes: int
    rss_bytes: int
    """Sum of the resident sets: pages that processes share count once for each."""
    pss_bytes: int | None
    """Sum of the proportional shares; None where the system does not tell, or nobody looked."""
    threads: int

    @property
    def memory_bytes(self) -> int:
        """Resident set of a lone process; of several the proportional shares, where they are known."""
        return self.pss_bytes if self.processes > 1 and self.pss_bytes is not None else self.rss_bytes


def look(tree: Iterable[psutil.Process], *, shares: bool) -> Look:
    """Look at the living processes of a tree; proportional shares (`shares`) cost the most."""
    found = [one for process in tree if (one := _look_at(process, shares=shares)) is not None]
    told = shares and all(one.pss_bytes is not None for one in found)
    return Look(
        processes=len(found),
        rss_bytes=sum(one.rss_bytes for one in found),
        pss_bytes=sum(one.pss_bytes or 0 for one in found) if told else None,
        threads=sum(one.threads for one in found),
    )


def _look_at(process: psutil.Process, *, shares: bool) -> Look | None:
    with suppress(*GONE):
        rss, pss = process.memory_info().rss, None
        if shares:
            with suppress(psutil.AccessDenied, AttributeError):
                pss = int(process.memory_full_info().pss)
        return Look(1, rss, pss, process.num_threads())
    return None


def switches(tree: Iterable[psutil.Process]) -> Switches:
    """Read how often each thread gave up its core, or was taken off it; empty outside Linux.

    /proc's own figure for a process is its first thread's alone.
    """
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for process in tree:
        for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
            with suppress(OSError, ValueError):
                found[process.pid, int(status.parent.name)] = _switches(status.read_text())
    return found


def _switches(status: str) -> tuple[int, int]:
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines.get("voluntary_ctxt_switches", 0)), int(lines.get("nonvoluntary_ctxt_switches", 0))


def switched(before: Switches, after: Switches) -> tuple[int, int] | None:
    """Count the switches between two readings; of threads that ended in between nothing is known."""
    if not after:
        return None
    pairs = [(before.get(thread, (0, 0)), now) for thread, now in after.items()]
    return sum(now[0] - then[0] for then, now in pairs), sum(now[1] - then[1] for then, now in pairs)


def core_times() -> tuple[tuple[float, float], ...]:
    """Read of each core the seconds it was busy and all the seconds there were, so far."""
    return tuple(
        (
            sum(
                value for name, value in each.items() if name in {"user", "system", "nice", "irq", "softirq"}
            ),
            sum(value for name, value in each.items() if not name.startswith("guest")),
        )
        for each in (times._asdict() for times in psutil.cpu_times(percpu=True))
    )


def core_busy(
    before: tuple[tuple[float, float], ...], after: tuple[tuple[float, float], ...]
) -> tuple[float, ...]:
    """Share of the time that each core was busy between two readings; empty when cores came or went."""
    if len(before) != len(after):
        return ()
    # The kernel's count of waiting for disks may go back, and with it the sum of all.
    return tuple(
        min(1.0, max(0.0, now[0] - then[0]) / (now[1] - then[1])) if now[1] > then[1] else 0.0
        for then, now in zip(before, after, strict=True)
    )
