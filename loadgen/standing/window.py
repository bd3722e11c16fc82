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
        self.begin_ns: int | None = None
        """None until the last dropped request has ended; of a block without them, until the first is sent."""
        self.last_counted_ns = 0
        self.end_ns: int | None = None
        """When it was closed; None while it is open."""
        self.full = True
        self.errors = self.sent = 0
        self._first_error = self._why = ""
        self.first_ns = self.last_ns = start_ns
        """When the first request was sent, and the last one ended, whether or not they count."""
        self._sent_any = False
        self._good_ns = start_ns
        self._failures = 0
        self._to_drop = [order.dropped] * order.users
        self._dropping = order.users

    @property
    def deadline_ns(self) -> int:
        """When it has to end: `longest_s` behind its begin, or behind the block's where it has not begun."""
        begin_ns = self.first_ns if self.begin_ns is None else self.begin_ns
        return begin_ns + int(self.order.longest_s * NS_PER_S)

    def close(self, now_ns: int) -> None:
        """End it, not by its own rule."""
        if self.end_ns is None:
            self.end_ns, self.full = now_ns, False

    def begin(self, start_ns: int) -> None:
        """Take note of a request that is sent."""
        if self._sent_any:
            return
        self._sent_any, self.first_ns = True, start_ns
        if not self.order.dropped:
            self.begin_ns = self.last_counted_ns = start_ns

    def end(self, user: int, start_ns: int, ended_ns: int, failure: FailureKind | None) -> None:
        """Take note of a request that has ended."""
        self.sent += failure is None or failure.status is not None
        self.last_ns = max(self.last_ns, ended_ns)
        if self.end_ns is None and ended_ns > self.deadline_ns:
            self.close(self.deadline_ns)
        if failure is not None and not self.latency_us:
            self._why = self._why or failure.message
        if self.end_ns is not None:
            return
        if self.begin_ns is None:
            self._drop(user, ended_ns)
        else:
            self._count(start_ns, ended_ns, failure)
        self._give_up(ended_ns, failure)

    @property
    def first_error(self) -> str:
        """Of the window; where nothing succeeded in it, of the block."""
        return self._first_error or ("" if self.latency_us else self._why)

    def _drop(self, user: int, ended_ns: int) -> None:
        self._to_drop[user] -= 1
        self._dropping -= self._to_drop[user] == 0
        if not self._dropping:
            self.begin_ns = self.last_counted_ns = ended_ns

    def _count(self, start_ns: int, ended_ns: int, failure: FailureKind | None) -> None:
        if failure is not None:
            self.errors += 1
            self._first_error = self._first_error or failure.message
            return
        assert self.begin_ns is not None  # noqa: S101 - its caller looked
        self.latency_us.append(max(1, (ended_ns - start_ns + NS_PER_US // 2) // NS_PER_US))
        self.last_counted_ns = ended_ns
        long_enough = ended_ns - self.begin_ns >= self.order.shortest_s * NS_PER_S
        if long_enough and len(self.latency_us) >= self.order.requests:
            self.end_ns = ended_ns

    def _give_up(self, ended_ns: int, failure: FailureKind | None) -> None:
        if failure is None:
            self._failures, self._good_ns = 0, ended_ns
            return
        self._failures += 1
        if self._failures >= GIVE_UP_AFTER and ended_ns - self._good_ns >= GIVE_UP_NS:
            self.close(ended_ns)
