"""The course of a gate: epochs of servers, rounds of blocks, looks at the pairs so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modeldyno.base.errors import ConfigError, LoadTestError, ServerError
from modeldyno.gate.live.loads import ClosedLoop, Load, OpenLoop, too_small
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.generator import StandingGenerator
from modeldyno.trials.compare.blocks import Block, Pair, pairs_of
from modeldyno.trials.compare.flips.signs import Signs
from modeldyno.trials.compare.flips.statistic import Statistic
from modeldyno.trials.compare.looks.sequential import Limit, Progress, look
from modeldyno.trials.compare.looks.spending import LOOKS
from modeldyno.trials.compare.looks.words import difference
from modeldyno.trials.compare.metrics import THROUGHPUT, statistic_of
from modeldyno.trials.compare.plan import (
    FEWEST_PAIRS,
    round_order,
)
from modeldyno.trials.compare.taint import Sorted, TaintLimits, limits_from, sort_pairs
from modeldyno.trials.providers.base import Order, Provider
from modeldyno.trials.rounds.epochs import Epoch, Start, epoch_of_servers
from modeldyno.trials.rounds.turns import Cell, Place, Taken, Turns

BASELINE, CANDIDATE = "baseline", "candidate"
SIDES = (BASELINE, CANDIDATE)
LATENCY_CELL, THROUGHPUT_CELL = "latency", "throughput"
WARMUP = BlockOrder(url="", requests=20, shortest_s=0.5, longest_s=15.0, dropped=1)
IDLE_READINGS = 4
IDLE_READING_S = 0.25
MOST_STARTS = 4
START_SHARE = 0.3
OVERRUN = 1.1
"""Times the budget: so long may be waited for the last pairs of the fewest that are judged."""


@dataclass(frozen=True)
class GateOrder:
    """What is measured, and until when."""

    provider: Provider
    orders: Mapping[str, Order]
    """Of each side."""
    cores: tuple[int, ...]
    """Of the servers."""
    payload: Mix
    users: int
    throughput_users: int
    limits: Mapping[str, Limit]
    """Of each metric that is judged."""
    budget_s: float
    alpha: float
    seed: int
    timeout_s: float = 30.0
    rate_rps: float | None = None
    """Latency at a rate, in windows, instead of closed loops."""
    epochs: bool = True
    """Whether servers are started anew within the budget."""
    tell: Callable[[str], None] = lambda _: None
    keep: Callable[[Block], None] = lambda _: None
    """Gets each block as soon as it is measured."""


@dataclass(eq=False)
class Course:
    """What a gate has measured so far."""

    blocks: list[Block] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    decided_s: dict[str, float] = field(default_factory=dict)
    """Seconds until each metric had its verdict."""
    seconds: float = 0.0
    epochs: int = 0
    taint: TaintLimits = field(default_factory=TaintLimits)
    startup_s: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    first_errors: dict[str, str] = field(default_factory=dict)
    restless: dict[str, float] = field(default_factory=dict)
    memory_mib: dict[str, float] = field(default_factory=dict)
    not_full: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    """Turns of each side that did not begin with an empty queue, or did not end by their own rule."""

    def pairs(self, cell: str) -> Sorted:
        """The pairs of a cell, by whether the machine left them alone."""
        found = pairs_of(self.blocks, f"{BASELINE} {cell}", f"{CANDIDATE} {cell}")
        return sort_pairs(found, self.taint)

    def judged(self, metric: str) -> tuple[Pair, ...]:
        """The pairs that a metric is judged by."""
        return self.pairs(cell_of(metric)).judged


def cell_of(metric: str) -> str:
    """Throughput has blocks of its own."""
    return THROUGHPUT_CELL if metric == THROUGHPUT else LATENCY_CELL


def measure(order: GateOrder, outputs: Callable[[Epoch], None] = lambda _: None) -> Course:
    """Measure both sides until every metric has its verdict or the budget is gone.

    `outputs` is called once, with the servers of the first epoch, before the first block.

    Raises:
        ConfigError: the budget is too small for 24 pairs; nothing was compared.
        ServerError: a side does not come up, or dies. LoadTestError: one answers nothing.
    """
    run = _Run(order)
    if order.budget_s < (least_s := run.load.needed_s(dict.fromkeys(run.cell_names, 0.0))):
        raise too_small(order.budget_s, 0.0, least_s)
    with StandingGenerator(order.payload, max(order.users, order.throughput_users)) as generator:
        turns = Turns(generator)
        while run.goes_on():
            with epoch_of_servers(turns, run.start(), run.course.epochs) as epoch:
                run.prepare(turns, epoch, outputs)
                run.rounds(turns)
    run.course.seconds = run.elapsed_s()
    return run.course


class _Run:
    """One gate at work."""

    def __init__(self, order: GateOrder) -> None:
        self.order, self.course = order, Course()
        self.load = load_of(order)
        self.signs = Signs(order.seed)
        self.cells = cells(order)
        self.began_s = time.monotonic()
        self.round = 0
        self.starts: list[float] = []
        """Shares of the budget at which the servers are started anew."""
        self.looks = list(LOOKS)
        self.planned = False

    @property
    def cell_names(self) -> tuple[str, ...]:
        return tuple(cell.name for cells in self.cells.values() for cell in cells)

    def elapsed_s(self) -> float:
        return time.monotonic() - self.began_s

    def share(self) -> float:
        return self.elapsed_s() / self.order.budget_s

    def goes_on(self) -> bool:
        return self.course.progress.verdict is None

    def start(self) -> Start:
        order = self.order
        every = [cell for cells in self.cells.values() for cell in cells]
        warmup = replace(WARMUP, timeout_s=order.timeout_s)
        return Start(order.provider, order.orders, every, warmup, order.seed, self._tell_start)

    def prepare(self, turns: Turns, epoch: Epoch, outputs: Callable[[Epoch], None]) -> None:
        """Take note of the starts; before the first block see what is normal here, and plan."""
        for side in SIDES:
            if why := epoch.failed.get(side):
                raise (LoadTestError if why.startswith("no request") else ServerError)(f"the {side}: {why}")
            self.course.startup_s[side].append(round(epoch.servers[side].startup_s, 3))
        self.course.restless.update(epoch.restless)
        self.course.epochs += 1
        if self.planned:
            return
        with turns.all_awake():
            outputs(epoch)
        idle = [turns.idle_readings(IDLE_READING_S) for _ in range(IDLE_READINGS)]
        self.course.taint = limits_from(idle)
        self._plan(epoch)

    def _plan(self, epoch: Epoch) -> None:
        seconds = {name: taken.block.seconds / taken.block.requests for name, taken in epoch.warm.items()}
        elapsed_s = self.elapsed_s()
        left_s, needed_s = self.order.budget_s - elapsed_s, self.load.needed_s(seconds)
        if self.order.epochs:
            self.starts = list(starts_for(epoch.seconds, left_s, needed_s))
        try:
            self.load.plan(seconds, left_s - len(self.starts) * epoch.seconds)
        except ConfigError as error:
            raise too_small(self.order.budget_s, elapsed_s, needed_s) from error
        self.planned = True

    def rounds(self, turns: Turns) -> None:
        """Rounds of this epoch, with the looks that are due; ends with a verdict, or when a start is due."""
        while self.goes_on():
            self._round(turns)
            while self.looks and self._is_due(self.looks[0]) and self.goes_on():
                self._look(self.looks.pop(0))
            if self._start_is_due() or not self.goes_on():
                self._note_memory(turns)
                return

    def _is_due(self, look: float) -> bool:
        """The last look waits for the fewest pairs, for a while."""
        share = self.share()
        return share >= look and (look < 1 or self.round >= FEWEST_PAIRS or share >= OVERRUN)

    def _note_memory(self, turns: Turns) -> None:
        for side in SIDES:
            if now := turns.memory_mib(side):
                self.course.memory_mib[side] = round(max(now, self.course.memory_mib.get(side, 0.0)), 1)

    def _start_is_due(self) -> bool:
        """Whether it is time for new servers: never before there were enough pairs for a verdict."""
        share = self.share()
        if not self.starts or share < self.starts[0] or share >= 1 or not self.course.progress.latest:
            return False
        self.starts = [each for each in self.starts if each > share]
        return True

    def _round(self, turns: Turns) -> None:
        for cells in self.cells.values():
            by_side = {cell.server: cell for cell in cells}
            for position, side in enumerate(round_order(SIDES, self.round, self.order.seed)):
                place = Place(self.round, self.course.epochs - 1, position)
                taken = self._take(turns, by_side[side], place)
                self.course.errors[side] += taken.block.errors
                self.course.not_full[side] += not taken.full
                if taken.first_error:
                    self.course.first_errors.setdefault(side, taken.first_error)
                self.course.blocks.append(taken.block)
                self.order.keep(taken.block)
        self.round += 1

    def _take(self, turns: Turns, cell: Cell, place: Place) -> Taken:
        try:
            return self.load.take(turns, cell, place)
        except (ServerError, LoadTestError) as error:
            kind = ServerError if isinstance(error, ServerError) else LoadTestError
            raise kind(f"the {cell.server} ended while it was measured: {error}") from error

    def _look(self, share: float) -> None:
        statistics = self._statistics()
        if statistics is None:
            self.course.progress = replace(self.course.progress, share=share)
            return
        order, before = self.order, set(self.course.progress.decided)
        self.course.progress = look(
            self.course.progress, statistics, self.signs, share, order.limits, alpha=order.alpha
        )
        for metric in set(self.course.progress.decided) - before:
            self.course.decided_s[metric] = round(self.elapsed_s(), 1)
        self.order.tell(f"{share:.0%} of the budget, {self.round} pairs: {self._so_far()}")

    def _so_far(self) -> str:
        latest = self.course.progress.latest
        if not latest:
            return f"{FEWEST_PAIRS} are needed"
        return "; ".join(
            f"{name} {difference(name, each.estimate, each.ends)}" for name, each in latest.items()
        )

    def _statistics(self) -> Mapping[str, Statistic] | None:
        """Of each metric; None where one has no pairs."""
        judged = {metric: self.course.judged(metric) for metric in self.order.limits}
        if not all(judged.values()):
            return None
        return {metric: statistic_of(metric, pairs) for metric, pairs in judged.items()}

    def _tell_start(self, side: str) -> None:
        self.order.tell(f"starting the {side}")


def load_of(order: GateOrder) -> Load:
    """Closed loops, or windows at a rate."""
    if order.rate_rps is None:
        return ClosedLoop(order.seed, order.timeout_s)
    return OpenLoop(order.rate_rps, order.payload, order.seed, order.timeout_s)


def starts_for(start_s: float, left_s: float, needed_s: float) -> tuple[float, ...]:
    """At which shares of the budget servers are started anew: four times, or as often as there is time for.

    Starts get no more than START_SHARE of what is left, and nothing that 24 pairs need.
    """
    room_s = min(START_SHARE * left_s, left_s - needed_s)
    times = max(0, min(MOST_STARTS, int(room_s / start_s)))
    return tuple((number + 1) / (times + 1) for number in range(times))


def cells(order: GateOrder) -> Mapping[str, Sequence[Cell]]:
    """The cells of each kind, one a side."""
    users = {LATENCY_CELL: order.users, THROUGHPUT_CELL: order.throughput_users}
    kinds = dict.fromkeys([LATENCY_CELL, *map(cell_of, order.limits)])
    if set(map(cell_of, order.limits)) == {THROUGHPUT_CELL}:
        del kinds[LATENCY_CELL]
    return {kind: [Cell(f"{side} {kind}", side, users[kind]) for side in SIDES] for kind in kinds}
