"""Latency at a rate: whole windows of an open loop, at one server after another.

At 90 % load a queue takes a hundred service times to settle, so that no short block says anything of it. Each
window is a load test of its own (`loadgen.run`), before which the server is seen idle: what the window before
left in its queue is not measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.server.idle import Idle
from modeldyno.loadgen.standing.blocks import BlockTaken
from modeldyno.trials.compare.latencies import decoded
from modeldyno.trials.providers.base import Deployment
from modeldyno.trials.rounds.turns import Cell, Place, Taken, Turns

IDLE_LIMIT_S = 10.0
"""How long a queue may take to be empty, at least."""
NS_PER_S = 1e9


@dataclass(frozen=True, kw_only=True)
class WindowOrder:
    """One window: arrivals are a Poisson process."""

    rate_rps: float
    window_s: float = 10.0
    warmup_s: float = 0.5
    """For the generator's connections; the server is warm."""
    timeout_s: float = 30.0
    seed: int = 0
    """Draws arrivals and bodies: equal seeds send the same at the same times."""


@dataclass(eq=False)
class Windows:
    """Takes windows at the servers of `turns`."""

    turns: Turns
    mix: Mix
    seen: dict[str, Idle] = field(default_factory=dict)
    """By URL: a server that is started anew has a new one."""

    def take(self, cell: Cell, order: WindowOrder, place: Place) -> Taken:
        """Wait until the server is idle, then load it; not `full` where it was not seen idle.

        Raises:
            ServerError: the server is gone.
            LoadTestError: nothing was answered, or the generator has ended.
        """
        server = self.turns.servers[cell.server]
        self.turns.let_run(cell.server)
        busy = self._idle(server.url)()
        results = list[LoadResult]()

        def load(server: Deployment) -> BlockTaken:
            start_ns = time.monotonic_ns()
            results.append(self._run(server, order))
            return _taken(results[0], start_ns)

        taken = self.turns.turn(cell, place, load)
        return self._with_own_readings(taken, results[0], server, busy)

    def _idle(self, url: str) -> Idle:
        if url not in self.seen:
            self.seen[url] = Idle(url, self.mix.kinds[0].bodies[0], least_limit_s=IDLE_LIMIT_S)
        return self.seen[url]

    def _run(self, server: Deployment, order: WindowOrder) -> LoadResult:
        spec = LoadSpec(
            url=server.url,
            rate_rps=order.rate_rps,
            warmup_s=order.warmup_s,
            duration_s=order.window_s,
            timeout_s=order.timeout_s,
            seed=order.seed,
        )
        pid = None if server.usage is None else server.usage.pid
        return run_load(spec, self.mix, server_pid=pid, workers=server.generator)

    def _with_own_readings(self, taken: Taken, result: LoadResult, server: Deployment, busy: str) -> Taken:
        """The readings of the window alone: the generator's start beside it is no foreign work."""
        readings = replace(
            taken.block.readings,
            foreign_cpu=_foreign(result, server) if server.cores else None,
            steal=result.machine.stolen_share if result.machine and server.cores else None,
            void_load=float(not result.valid),
        )
        usage = result.server if server.usage is not None else None
        cpu_s = None if usage is None else usage.cpu_cores_mean * result.window_s
        block = replace(taken.block, readings=readings, cpu_s=cpu_s)
        return Taken(block, busy or taken.first_error, not busy, taken.lag_ms)


def _taken(result: LoadResult, start_ns: int) -> BlockTaken:
    lateness = result.lateness
    return BlockTaken(
        start_ns=start_ns,
        seconds=result.window_s,
        latency_us=decoded(result.histogram),
        errors=result.errors,
        first_error=next((each.message for each in result.error_groups), ""),
        sent=result.samples,
        lag_ms=0.0 if lateness is None else lateness.p99_ms,
        full=result.valid,
    )


def _foreign(result: LoadResult, server: Deployment) -> float | None:
    """Share of the server's cores that neither it nor, where they share them, the generator kept busy."""
    machine, usage = result.machine, result.server
    if machine is None or usage is None or max(server.cores) >= len(machine.core_busy):
        return None
    known = usage.cpu_cores_mean
    if not server.generator.cpus or set(server.generator.cpus) & set(server.cores):
        known += result.generator.cpu_cores_mean
    busy = sum(machine.core_busy[core] for core in server.cores)
    return max(0.0, busy - known) / len(server.cores)
