"""CPU and memory of the server and of the load generator over exactly the measured window.

CPU is the difference of two readings of each process's own clock (user + system, children that have ended
included), taken at the window's start and end: nothing is estimated from samples. The clock ticks in 10 ms.
Memory and threads are looked at every half second: resident set of a lone process; of several, the sum of
their proportional shares (PSS) where the system tells them, since resident sets count shared pages once for
each. A lone process's share is looked at every two seconds: reading it holds up the process's own memory
requests.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

from modeldyno.base.records.usage import GpuUsage, MachineUsage, ResourceUsage
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.loadgen.watch.gpus import GpuMeter
from modeldyno.loadgen.watch.looks import (
    Look,
    Switches,
    core_busy,
    core_times,
    look,
    switched,
    switches,
)
from modeldyno.loadgen.watch.processes import cpu_seconds, process_tree

MEMORY_EVERY_S = 0.5
SHARES_EVERY = 4
"""Looks from one at a lone process's proportional share to the next."""


@dataclass(frozen=True)
class Reading:
    """Clocks at one moment."""

    at_s: float
    cpu_s: Mapping[str, float]
    """CPU time used so far by each watched group, and by the process that watches."""
    busy_s: float
    """CPU time spent by programs on the whole machine."""
    stolen_s: float
    """Time that the hypervisor gave to others while this machine wanted to run."""
    all_s: float
    """All CPU time there was, idle included."""
    switches: Mapping[str, Switches] = field(default_factory=dict)
    """Of each watched group."""
    cores: tuple[tuple[float, float], ...] = ()
    """Of each core the seconds it was busy, and all."""


@dataclass(frozen=True)
class WindowUsage:
    """What was used between two readings."""

    groups: Mapping[str, ResourceUsage]
    other_cores: float
    """Cores kept busy by programs that were not watched."""
    stolen_share: float
    """0 to 1 of all CPU time."""
    core_busy: tuple[float, ...] = ()
    gpus: tuple[GpuUsage, ...] = ()

    @property
    def machine(self) -> MachineUsage:
        """What a result says of the machine."""
        return MachineUsage(
            core_busy=self.core_busy,
            other_cores_mean=self.other_cores,
            stolen_share=self.stolen_share,
            gpus=self.gpus,
        )


class UsageSampler:
    """Watches the process trees of "server" and "generator" from start_s (time.monotonic).

    It watches until the moment that `end_at` sets. Always call `stop`.
    """

    def __init__(self, groups: Mapping[str, tuple[int, ...]], start_s: float) -> None:
        self._groups = groups
        self._start_s, self._end_s = start_s, math.inf
        self._looks: dict[str, list[Look]] = {name: [] for name in groups}
        self._gpus: tuple[GpuUsage, ...] = ()
        self._readings: list[Reading] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage-sampler", daemon=True)
        self._thread.start()

    def end_at(self, end_s: float) -> None:
        """Set the end of the window, before it has come."""
        self._end_s = end_s

    def stop(self) -> WindowUsage | None:
        """End the thread; return the usage, or None when most of the window was not seen, or not its end."""
        self._stop.set()
        self._thread.join()
        if len(self._readings) < 2:
            return None
        # On a machine that stood still, the first reading may have come when the window was nearly over.
        if self._readings[1].at_s - self._readings[0].at_s < (self._end_s - self._start_s) / 2:
            return None
        return window_usage(self._readings[0], self._readings[1], self._looks, self._gpus)

    def _watch(self) -> None:
        if not self._wait_until(self._start_s):
            return
        # Finding a tree means looking at every process: once at each end, not at every look at the memory.
        gpus, trees = GpuMeter(), self._trees()
        self._readings.append(_read(trees))
        while time.monotonic() < self._end_s:
            self._look_at_memory(trees)
            gpus.look()
            if not self._wait_until(min(self._end_s, time.monotonic() + MEMORY_EVERY_S)):
                break
        self._gpus = gpus.close()
        # Whoever says where the end is may be late, and stop at once. Who is gone by then can't be read.
        last = self._trees()
        if time.monotonic() >= self._end_s and all(last[name] for name in trees if trees[name]):
            self._readings.append(_read(last))

    def _wait_until(self, moment_s: float) -> bool:
        while (left_s := moment_s - time.monotonic()) > 0 and not self._stop.wait(left_s):
            pass
        return time.monotonic() >= moment_s

    def _trees(self) -> dict[str, list[psutil.Process]]:
        # The generator may be a child of what serves (a notebook): count it once.
        generator = process_tree(self._groups["generator"])
        known = set(generator)
        trees = {
            name: [p for p in process_tree(pids) if p not in known] for name, pids in self._groups.items()
        }
        return {**trees, "generator": generator}

    def _look_at_memory(self, trees: Mapping[str, list[psutil.Process]]) -> None:
        for name, tree in trees.items():
            if tree:
                looks = self._looks[name]
                looks.append(look(tree, shares=len(tree) > 1 or len(looks) % SHARES_EVERY == 0))


def _read(trees: Mapping[str, list[psutil.Process]]) -> Reading:
    cpu_s = {name: sum(map(cpu_seconds, tree)) for name, tree in trees.items()}
    times = psutil.cpu_times()
    return Reading(
        at_s=time.monotonic(),
        cpu_s={**cpu_s, "observer": cpu_seconds(psutil.Process())},
        busy_s=times.user + times.system + getattr(times, "nice", 0.0),
        stolen_s=getattr(times, "steal", 0.0),
        # Guest time is part of user time already.
        all_s=sum(value for name, value in times._asdict().items() if not name.startswith("guest")),
        switches={name: switches(tree) for name, tree in trees.items()},
        cores=core_times(),
    )


def window_usage(
    before: Reading, after: Reading, looks: Mapping[str, list[Look]], gpus: tuple[GpuUsage, ...] = ()
) -> WindowUsage:
    """Usage between two readings, given what was seen in between."""
    seconds = after.at_s - before.at_s
    used = {name: max(0.0, after.cpu_s[name] - before.cpu_s[name]) for name in before.cpu_s}
    groups = {
        name: _usage(used[name] / seconds, looks[name], before.switches.get(name), after.switches.get(name))
        for name in used
        if looks.get(name)
    }
    others = (after.busy_s - before.busy_s - sum(used.values())) / seconds
    all_s = after.all_s - before.all_s
    stolen = (after.stolen_s - before.stolen_s) / all_s if all_s > 0 else 0.0
    return WindowUsage(
        groups=groups,
        other_cores=max(0.0, others),
        stolen_share=stolen,
        core_busy=core_busy(before.cores, after.cores),
        gpus=gpus,
    )


def _usage(cores: float, looks: list[Look], before: Switches | None, after: Switches | None) -> ResourceUsage:
    shares = [one.pss_bytes for one in looks if one.pss_bytes is not None]
    counted = switched(before or {}, after or {})
    return ResourceUsage(
        cpu_cores_mean=cores,
        memory_mib_max=max(one.memory_bytes for one in looks) / BYTES_PER_MIB,
        samples=len(looks),
        rss_mib_max=max(one.rss_bytes for one in looks) / BYTES_PER_MIB,
        pss_mib_max=max(shares) / BYTES_PER_MIB if shares else None,
        threads_max=max(one.threads for one in looks),
        voluntary_switches=counted[0] if counted else None,
        involuntary_switches=counted[1] if counted else None,
    )
