"""What else the machine does while a block runs, without the servers, the generator and this process.

CPU of others is read twice: precisely from each process's own clock, which misses those that live shorter
than the block and those of other containers; and from the ticks of the cores (10 ms), which miss nothing but
are wrong by a tenth of a core in a short block. The larger counts, the ticks less what they may be wrong by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from modeldyno.base.host.cgroups import own_group
from modeldyno.base.process.cpu_clocks import all_clocks, spent_elsewhere_s, used_s
from modeldyno.trials.compare.blocks import Readings
from modeldyno.trials.rounds.yardstick import Yardstick

TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
COARSE_ERROR = 0.1
"""Of a core: what ticks of a quarter of a second may be wrong by."""


@dataclass(frozen=True)
class _Moment:
    cores: tuple[int, ...]
    at_s: float
    clocks: dict[int, int]
    busy_s: float
    steal_s: float
    known_s: float | None
    throttled_s: float | None


@dataclass(frozen=True)
class MachineWatch:
    """Reads what others do on the cores of the server whose turn it is."""

    known: Callable[[], tuple[int, ...]]
    """Processes of servers and generator; this process is known, too."""
    yardstick: Yardstick = field(default_factory=Yardstick)
    megahertz: float | None = field(default_factory=lambda: _megahertz())  # noqa: PLW0108 - it stands below

    def begin(self, cores: tuple[int, ...]) -> _Moment:
        """Read the clocks, right before a block; of a server elsewhere (no cores) there are none to read."""
        if not cores:
            return _Moment(cores, time.monotonic(), {}, 0.0, 0.0, None, None)
        busy_s, steal_s = _core_times(frozenset(cores))
        known_s = used_s((os.getpid(), *self.known()))
        return _Moment(cores, time.monotonic(), all_clocks(), busy_s, steal_s, known_s, _throttled_s())

    def end(self, before: _Moment, generator_lag_ms: float | None = None) -> Readings:
        """What there was since `begin`, right after the block."""
        if not before.cores:
            return Readings(generator_lag_ms=generator_lag_ms)
        after = self.begin(before.cores)
        room_s = max(1e-9, after.at_s - before.at_s) * len(before.cores)
        now = _megahertz()
        return Readings(
            foreign_cpu=max(0.0, self._foreign_s(before, after)) / room_s,
            # Of a counter in ticks the last one may be older than the block.
            steal=max(0.0, after.steal_s - before.steal_s - TICK_S) / room_s,
            throttled=_throttled_share(before, after),
            frequency=now / self.megahertz if now and self.megahertz else None,
            generator_lag_ms=generator_lag_ms,
            yardstick=self.yardstick.ratio(before.cores),
        )

    def _foreign_s(self, before: _Moment, after: _Moment) -> float:
        known = frozenset((os.getpid(), *self.known()))
        precise_s = spent_elsewhere_s(before.clocks, after.clocks, known, frozenset(before.cores))
        if before.known_s is None or after.known_s is None:
            return precise_s
        coarse_s = after.busy_s - before.busy_s - (after.known_s - before.known_s)
        return max(precise_s, coarse_s - COARSE_ERROR * (after.at_s - before.at_s) * len(before.cores))


def _core_times(cores: frozenset[int]) -> tuple[float, float]:
    """Busy seconds and stolen seconds of these cores so far, in steps of a tick."""
    busy = steal = 0.0
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cores:
                user, nice, system, _, _, irq, soft, stolen = map(int, fields[:8])
                busy += (user + nice + system + irq + soft) * TICK_S
                steal += stolen * TICK_S
    return busy, steal


def _throttled_s() -> float | None:
    """For how long this process's control group was denied CPU; None where nothing bounds it."""
    group = own_group("cpu")
    if group is None:
        return None
    with suppress(OSError, ValueError):
        for line in (group.folder / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("throttled_usec", "throttled_time"):
                return int(value) / (1e6 if name == "throttled_usec" else 1e9)
    return None


def _throttled_share(before: _Moment, after: _Moment) -> float | None:
    if before.throttled_s is None or after.throttled_s is None:
        return None
    return (after.throttled_s - before.throttled_s) / max(1e-9, after.at_s - before.at_s)


def _megahertz() -> float | None:
    """Mean clock of the cores now, where the kernel tells it as it is and not as it was sold."""
    found = []
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):
        with suppress(OSError, ValueError):
            found.append(int(path.read_text()) / 1000)
    return sum(found) / len(found) if found else None
