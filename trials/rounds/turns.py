"""One block: one server alone under load for a moment, with what else the machine did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from modeldyno.base.errors import ServerError
from modeldyno.base.process.cpu_clocks import tree, used_s
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.loadgen.standing.blocks import BlockOrder, BlockTaken
from modeldyno.loadgen.standing.generator import StandingGenerator
from modeldyno.trials.compare.blocks import Block, Readings
from modeldyno.trials.compare.latencies import binned
from modeldyno.trials.providers.base import Deployment
from modeldyno.trials.rounds.machine import MachineWatch

NS_PER_S = 1e9
REST_S = 0.01
"""Between a block and the next: what the server does behind its last answer is not the next one's."""


@dataclass(frozen=True)
class Cell:
    """One candidate at one load level."""

    name: str
    server: str
    """Name of the candidate: several cells may share one server."""
    users: int = 1


@dataclass(frozen=True)
class Place:
    """Where a block stands in the run."""

    round: int
    epoch: int
    position: int


@dataclass(frozen=True, eq=False)
class Taken:
    """A block, and what of it is no part of a comparison."""

    block: Block
    first_error: str
    full: bool
    lag_ms: float


@dataclass(eq=False)
class Turns:
    """Servers that are up, and take turns. `servers` are those of the present epoch."""

    generator: StandingGenerator
    servers: dict[str, Deployment] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    """Servers that are let run only while it is their turn."""
    began_ns: int = field(default_factory=time.monotonic_ns)
    pids: dict[str, tuple[int, ...]] = field(default_factory=dict)
    watch: MachineWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = MachineWatch(self._known)

    def exchange(self, servers: Mapping[str, Deployment]) -> None:
        """From now on these are the servers."""
        self.servers = dict(servers)
        self.paused = frozenset()
        self.pids = {name: _pids(server) for name, server in servers.items()}

    def take(self, cell: Cell, order: BlockOrder, place: Place) -> Taken:
        """Load the cell's server for one block, as `order` says; its URL and cores are filled in here.

        Raises:
            ServerError: the server is gone.
            LoadTestError: the generator is.
        """

        def load(server: Deployment) -> BlockTaken:
            return self.generator.take(self._filled(order, cell, server), lambda: server.state.serving)

        return self.turn(cell, place, load)

    def turn(self, cell: Cell, place: Place, load: Callable[[Deployment], BlockTaken]) -> Taken:
        """Have the cell's server alone under whatever `load` sends it; raises as that does.

        Raises:
            ServerError: the server is gone.
        """
        server = self.servers[cell.server]
        self.let_run(cell.server)
        pids = self.pids[cell.server]
        before_s, moment = used_s(pids), self.watch.begin(server.cores)
        taken = load(server)
        readings = self.watch.end(moment, taken.lag_ms)
        after_s = used_s(pids)
        if not server.state.serving:
            raise ServerError(server.state.reason)
        self._put_to_sleep(cell.server, server)
        time.sleep(REST_S)
        cpu_s = None if before_s is None or after_s is None else after_s - before_s
        block = self._block(cell, place, taken, readings, cpu_s)
        return Taken(block, taken.first_error, taken.full, taken.lag_ms)

    def idle_readings(self, seconds: float) -> Readings:
        """What the machine does on the servers' cores while nobody sends."""
        cores = {core for server in self.servers.values() for core in server.cores}
        moment = self.watch.begin(tuple(sorted(cores)))
        time.sleep(seconds)
        return self.watch.end(moment)

    def cpu_s(self, name: str) -> float | None:
        """CPU time that a server has used so far; None where it can't be read."""
        return used_s(self.pids[name])

    def memory_mib(self, name: str) -> float | None:
        """Resident memory of a server and its children now; None where it can't be read."""
        found = 0
        with suppress(psutil.Error):
            for pid in self.pids[name]:
                found += psutil.Process(pid).memory_info().rss
            return found / BYTES_PER_MIB or None
        return None

    def _filled(self, order: BlockOrder, cell: Cell, server: Deployment) -> BlockOrder:
        values = {**vars(order), "url": server.url, "users": cell.users}
        return BlockOrder(**{**values, "cpus": server.generator.cpus or ()})

    def _block(
        self, cell: Cell, place: Place, taken: BlockTaken, readings: Readings, cpu_s: float | None
    ) -> Block:
        counted = len(taken.latency_us)
        # The server's clock runs over all requests of the block; those that count have their share of it.
        share = counted / taken.sent if taken.sent else 0.0
        return Block(
            candidate=cell.name,
            round=place.round,
            epoch=place.epoch,
            position=place.position,
            start_s=(taken.start_ns - self.began_ns) / NS_PER_S,
            seconds=taken.seconds,
            latency_us=binned(taken.latency_us),
            errors=taken.errors,
            cpu_s=None if cpu_s is None else cpu_s * share,
            readings=readings,
        )

    def _known(self) -> tuple[int, ...]:
        return (self.generator.pid, *(pid for pids in self.pids.values() for pid in pids))

    def let_run(self, name: str) -> None:
        """Wake a server that was paused."""
        server = self.servers[name]
        if name in self.paused and server.pausing is not None:
            server.pausing.resume()

    @contextmanager
    def all_awake(self) -> Iterator[None]:
        """Let every server run, whose turn it is or not."""
        for name in self.servers:
            self.let_run(name)
        yield
        for name, server in self.servers.items():
            self._put_to_sleep(name, server)

    def _put_to_sleep(self, name: str, server: Deployment) -> None:
        if name in self.paused and server.pausing is not None:
            server.pausing.pause()


def _pids(server: Deployment) -> tuple[int, ...]:
    usage = server.usage
    return () if usage is None else tree(usage.pid)
