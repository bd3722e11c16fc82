"""Servers that are up together: started in drawn order, warmed up, and seen to leave the others alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from modeldyno.base.errors import ServerError
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.trials.compare.plan import start_order
from modeldyno.trials.providers.base import Deployment, Order, Provider
from modeldyno.trials.rounds.turns import Cell, Place, Taken, Turns

IDLE_S = 0.5
IDLE_SHARE = 0.01
"""Of a core: what a server without requests may use while others are measured."""


@dataclass(frozen=True)
class Epoch:
    """One start of every server."""

    number: int
    servers: Mapping[str, Deployment]
    warm: Mapping[str, Taken]
    """Of each cell its warm-up."""
    failed: Mapping[str, str]
    """Servers that did not come up, or did not answer, and why."""
    restless: Mapping[str, float] = field(default_factory=dict)
    """Servers that use CPU without requests, in cores; they are paused where their provider can."""
    seconds: float = 0.0
    """What the starts and the warm-ups took."""


@dataclass(frozen=True)
class Start:
    """What an epoch starts, and how it warms up."""

    provider: Provider
    orders: Mapping[str, Order]
    cells: Sequence[Cell]
    warmup: BlockOrder
    """Of each cell; what it measures says how long blocks have to be."""
    seed: int = 0
    tell: Callable[[str], None] = lambda _: None
    """Hears the name of the server that is being started."""


@contextmanager
def epoch_of_servers(turns: Turns, start: Start, number: int) -> Iterator[Epoch]:
    """Bring all servers up in an order drawn for this epoch; take all down on leaving.

    Raises:
        LoadTestError: the generator has ended.
    """
    servers, failed = dict[str, Deployment](), dict[str, str]()
    began_s = time.monotonic()
    with ExitStack() as stack:
        for name in start_order(tuple(start.orders), number, start.seed):
            start.tell(name)
            try:
                servers[name] = stack.enter_context(start.provider.deploy(start.orders[name]))
            except ServerError as error:
                failed[name] = str(error)
        turns.exchange(servers)
        warm = dict[str, Taken]()
        for cell in start.cells:
            if cell.server in servers and cell.server not in failed:
                _warm_up(turns, start.warmup, Place(-1, number, 0), cell, (warm, failed))
        able = [name for name in servers if name not in failed]
        restless = _restless(turns, able)
        _pause(turns, servers, restless)
        took_s = time.monotonic() - began_s
        yield Epoch(number, {name: servers[name] for name in able}, warm, failed, restless, took_s)
        turns.exchange({})


def _warm_up(
    turns: Turns,
    order: BlockOrder,
    place: Place,
    cell: Cell,
    outcome: tuple[dict[str, Taken], dict[str, str]],
) -> None:
    """Put down the warm-up of a cell, or why its server is none."""
    warm, failed = outcome
    try:
        taken = turns.take(cell, order, place)
    except ServerError as error:
        failed[cell.server] = str(error)
        return
    if not taken.block.requests:
        failed[cell.server] = f"no request was answered: {taken.first_error or 'none ended in time'}"
        return
    warm[cell.name] = taken


def _restless(turns: Turns, names: Iterable[str]) -> dict[str, float]:
    """Servers that use more than IDLE_SHARE of a core while nobody asks them anything, and how much."""
    names = list(names)
    if len(names) < 2:
        return {}
    before = {name: turns.cpu_s(name) for name in names}
    time.sleep(IDLE_S)
    found = dict[str, float]()
    for name, used_s in before.items():
        now_s = turns.cpu_s(name)
        if used_s is not None and now_s is not None and (now_s - used_s) / IDLE_S > IDLE_SHARE:
            found[name] = (now_s - used_s) / IDLE_S
    return found


def _pause(turns: Turns, servers: Mapping[str, Deployment], restless: Iterable[str]) -> None:
    able = [name for name in restless if servers[name].pausing is not None]
    for name in able:
        pausing = servers[name].pausing
        if pausing is not None:
            pausing.pause()
    turns.paused = frozenset(able)
