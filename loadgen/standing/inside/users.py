"""Users who wait for a block without cost, and the block that they are in."""

from __future__ import annotations

from typing import Any, ClassVar

from gevent.event import Event
from gevent.queue import SimpleQueue
from locust import task

from modeldyno.loadgen.generator.control import PAUSE_AFTER_BROKEN_S
from modeldyno.loadgen.generator.wire.connection import Connection
from modeldyno.loadgen.generator.wire.sender import NS_PER_S, Sender, now_ns
from modeldyno.loadgen.payloads.files import Draw
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.window import Window


class CutError(Exception):
    """Thrown at a user who waits for an answer that nobody wants any more."""


class Block:
    """One block under way; its first users by number send, each over the connection of its number."""

    def __init__(self, order: BlockOrder, draw: Draw, connections: list[Connection]) -> None:
        self.order, self.draw, self.connections = order, draw, connections
        self.closed, self._empty = Event(), Event()
        self.window = Window(order, now_ns())
        self._inside = order.users

    def wait(self) -> None:
        """Return when all users have left."""
        window = self.window
        while window.end_ns is None and (left_ns := window.deadline_ns - now_ns()) > 0:
            self.closed.wait(left_ns / NS_PER_S)
        self.close(window.deadline_ns)
        self._empty.wait()

    def close(self, moment_ns: int) -> None:
        """End the window, if its own rule has not; users leave with the answers that they wait for."""
        self.window.close(moment_ns)
        self.closed.set()

    def goes_on(self) -> bool:
        """Whether users send more."""
        if self.window.end_ns is None:
            return True
        self.closed.set()
        return False

    def leave(self) -> None:
        """One user has."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()


class StandingUser(Sender):
    """Waits for a block; sends, waits for the answer, sends again; waits for the next block."""

    everyone: ClassVar[list[StandingUser]] = []

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.turns = SimpleQueue()
        self.block: Block | None = None
        self._number = len(self.everyone)
        self.everyone.append(self)

    @task
    def invoke(self) -> None:
        """One request."""
        try:
            block = self.block or self._enter(self.turns.get())
            if block.goes_on():
                self._request(block)
            if not block.goes_on():
                self.block = None
                block.leave()
        except CutError:  # it came when the answer had; the block is left at the next call
            return

    def _enter(self, block: Block) -> Block:
        self.block, self.timeout_s = block, block.order.timeout_s
        self._connection = block.connections[self._number]
        return block

    def _request(self, block: Block) -> None:
        start_ns = now_ns()
        block.window.begin(start_ns)
        payload, _ = block.draw.take()
        request = self.prepare(block.order.url, payload)
        ended_ns, failure = self.send(request, start_ns + int(self.timeout_s * NS_PER_S))
        block.window.end(self._number, start_ns, ended_ns, failure)
        if failure is not None and failure.status is None:
            block.closed.wait(
                PAUSE_AFTER_BROKEN_S
            )  # as in a load test, so that a dead server is not hammered
