"""Which requests of a block count: the window of `BlockOrder`; pure, times come from outside."""

from __future__ import annotations

from array import array

from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.stats.recording import NS_PER_US, FailureKind

NS_PER_S = 1_000_000_000
GIVE_UP_AFTER = 20
"""Failures without a success between them end a block,"""
GIVE_UP_NS = NS_PER_S
"""when the last success, or the block's begin, is as long ago: a full server may refuse many at once."""


class Window:
    """Of one block; its requests are told in the order in which they end."""

    def __init__(self, order: BlockOrder, start_ns: int) -> None:
        self.order = order
        self.latency_us = array("q")
        self.begin_ns: int | None = None if order.dropped else start_ns
        """None until the last dropped request has ended."""
        self.last_counted_ns = self.begin_ns or 0
        self.end_ns: int | None = None
        """When it was closed; None while it is open."""
        self.full = True
        self.errors = self.sent = 0
        self.first_error = ""
        self.start_ns = self.last_ns = self._good_ns = start_ns
        self._failures = 0
        self._to_drop = [order.dropped] * order.users
        self._dropping = order.users

    @property
    def deadline_ns(self) -> int:
        """When it has to end: `longest_s` behind its begin, or behind the block's where it has not begun."""
        begin_ns = self.start_ns if self.begin_ns is None else self.begin_ns
        return begin_ns + int(self.order.longest_s * NS_PER_S)

    def close(self, now_ns: int) -> None:
        """End it, not by its own rule."""
        if self.end_ns is None:
            self.end_ns, self.full = now_ns, False

    def record(self, user: int, start_ns: int, ended_ns: int, failure: FailureKind | None) -> None:
        """Take note of a request that has ended."""
        answered = failure is None or failure.status is not None
        self.sent += answered
        self.last_ns = max(self.last_ns, ended_ns)
        if self.end_ns is not None:
            return
        if ended_ns > self.deadline_ns:
            self.close(self.deadline_ns)
        elif self.begin_ns is None:
            self._before(user, ended_ns, failure, answered=answered)
        else:
            self._within(start_ns, ended_ns, failure)
        self._give_up(ended_ns, failure)

    def _before(self, user: int, ended_ns: int, failure: FailureKind | None, *, answered: bool) -> None:
        """A dropped request that got no answer is sent again: the window begins on living connections."""
        if failure is not None:
            self._fail(failure)  # forgotten as soon as the window begins
        if not answered or not self._to_drop[user]:
            return
        self._to_drop[user] -= 1
        self._dropping -= not self._to_drop[user]
        if not self._dropping:
            self.begin_ns = self.last_counted_ns = ended_ns
            self.errors, self.first_error = 0, ""

    def _within(self, start_ns: int, ended_ns: int, failure: FailureKind | None) -> None:
        if failure is not None:
            self._fail(failure)
            return
        assert self.begin_ns is not None  # noqa: S101 - record looked
        self.latency_us.append(max(1, (ended_ns - start_ns + NS_PER_US // 2) // NS_PER_US))
        self.last_counted_ns = ended_ns
        long_enough = ended_ns - self.begin_ns >= self.order.shortest_s * NS_PER_S
        if long_enough and len(self.latency_us) >= self.order.requests:
            self.end_ns = ended_ns

    def _fail(self, failure: FailureKind) -> None:
        self.errors += 1
        self.first_error = self.first_error or failure.message

    def _give_up(self, ended_ns: int, failure: FailureKind | None) -> None:
        if failure is None:
            self._failures, self._good_ns = 0, ended_ns
            return
        self._failures += 1
        if self._failures >= GIVE_UP_AFTER and ended_ns - self._good_ns >= GIVE_UP_NS:
            self.close(ended_ns)
