"""Inside the Locust process that stays up: users who wait for a block, and who has them send it.

Each user keeps a connection to every server that it has sent to. Those that a server has closed are dropped
after each block; where more would be open than this process may open, those to the server that was asked
longest ago are closed, and opened again in the dropped requests when its turn comes.
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import numpy as np

from modeldyno.loadgen.generator.open_files import RESERVED_FILES, file_limit
from modeldyno.loadgen.generator.settle import settle_in
from modeldyno.loadgen.generator.wire.connection import Connection, server_of
from modeldyno.loadgen.generator.wire.sender import NS_PER_S, now_ns
from modeldyno.loadgen.payloads.files import Draw, Mix
from modeldyno.loadgen.payloads.store import load_mix
from modeldyno.loadgen.standing.blocks import BlockOrder, BlockTaken
from modeldyno.loadgen.standing.folder import FOLDER_VARIABLE, Folder
from modeldyno.loadgen.standing.inside.lag import BlockLag
from modeldyno.loadgen.standing.inside.users import Block, CutError, StandingUser
from modeldyno.loadgen.standing.talk import (
    CUT,
    FD_VARIABLE,
    Answer,
    Channel,
    Failed,
    Ready,
    answer_bytes,
    read_order,
)
from modeldyno.loadgen.standing.window import Window

NS_PER_MS = 1_000_000
Server = tuple[str, str, int]


class Floor:
    """The users, their connections, and the channel to whoever started this process."""

    def __init__(self, runner: Any, channel: Channel, mix: Mix) -> None:
        self._runner, self._channel, self._mix = runner, channel, mix
        self._users = StandingUser.everyone
        self._lines: dict[Server, list[Connection]] = {}
        """The connections of each server, a user's at the user's number; asked longest ago first."""
        self._block: Block | None = None
        self._usable = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()
        self._pinned = set(self._usable)

    def open(self, **_: Any) -> None:
        """Say that the users are there, and listen."""
        _freeze()
        self._say(Ready())
        gevent.spawn(self._listen)

    def _listen(self) -> None:
        try:
            while True:
                line = self._channel.line()
                if line == CUT:
                    self._cut()
                else:
                    gevent.spawn(self._answer, read_order(line))
                    gevent.sleep(0)  # it is under way before another line is looked at
        except EOFError:  # nobody is there to order more
            self._runner.quit()

    def _answer(self, order: BlockOrder) -> None:
        try:
            self._say(self._take(order))
        except Exception as error:  # said to whoever waits
            self._say(Failed(f"{type(error).__name__}: {error}"))
        self._clear_away()

    def _clear_away(self) -> None:
        for server, connections in list(self._lines.items()):
            for connection in connections:
                connection.drop_ended()
            if not any(connection.is_open for connection in connections):
                del self._lines[server]
        gc.collect()  # now, so that none is due within the next block

    def _say(self, answer: Answer) -> None:
        self._channel.send(answer_bytes(answer))

    def _take(self, order: BlockOrder) -> BlockTaken:
        self._grow(order.users)
        self._pin(order.cpus)
        block = Block(order, Draw(self._mix, order.seed), self._connections(order))
        self._block, lag, cpu_ns = block, BlockLag(), time.process_time_ns()
        for user in self._users[: order.users]:
            user.turns.put(block)
        try:
            block.wait()
        finally:
            self._block = None
            lag.stop()
        return _taken(block.window, lag, time.process_time_ns() - cpu_ns)

    def _cut(self) -> None:
        block = self._block
        if block is None:
            return
        block.close(now_ns())
        for user in self._users:
            if user.block is block:
                user.greenlet.kill(CutError, block=False)

    def _grow(self, users: int) -> None:
        missing = users - len(self._users)
        if missing > 0:
            self._runner.spawn_users({StandingUser.__name__: missing})
            _freeze()

    def _pin(self, cpus: tuple[int, ...]) -> None:
        wanted = set(cpus) or self._usable
        if wanted != self._pinned:
            os.sched_setaffinity(0, wanted)
            self._pinned = wanted

    def _connections(self, order: BlockOrder) -> list[Connection]:
        server = server_of(order.url)
        mine = self._lines.pop(server, [])
        mine += [Connection() for _ in range(order.users - len(mine))]
        while self._lines and len(mine) + sum(map(len, self._lines.values())) > file_limit() - RESERVED_FILES:
            for connection in self._lines.pop(next(iter(self._lines))):
                connection.close()
        self._lines[server] = mine
        return mine


def _taken(window: Window, lag: BlockLag, cpu_ns: int) -> BlockTaken:
    end_ns = window.end_ns or 0
    begin_ns = end_ns if window.begin_ns is None else window.begin_ns
    counted = len(window.latency_us)
    return BlockTaken(
        start_ns=begin_ns + time.monotonic_ns() - now_ns(),
        seconds=(window.last_counted_ns - begin_ns) / NS_PER_S if counted else 0.0,
        latency_us=np.array(window.latency_us, np.int64),
        errors=window.errors,
        first_error=window.first_error,
        sent=window.sent,
        whole_s=(window.last_ns - window.first_ns) / NS_PER_S,
        lag_ms=lag.worst_ns(begin_ns, end_ns) / NS_PER_MS,
        generator_cpu_s=cpu_ns / NS_PER_S,
        full=window.full,
    )


def _freeze() -> None:
    gc.collect()
    gc.freeze()  # what lives now lives on: collections during a block need not look at it


def open_floor(environment: Any, **_: Any) -> None:
    """Settle in, and take orders as soon as the first users are there."""
    channel = Channel(gevent.socket.socket(fileno=int(os.environ.pop(FD_VARIABLE))))
    folder = Folder(Path(os.environ.pop(FOLDER_VARIABLE)))
    settle_in(str(folder.path))
    floor = Floor(environment.runner, channel, load_mix(folder.bodies, folder.index))
    environment.events.spawning_complete.add_listener(floor.open)
