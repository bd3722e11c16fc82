"""Workers that hang: told by /ping, replaced, at last a reason to end. A deadline says what hanging is.

A thread can't be ended. One that still runs its job long after its deadline is left behind, and another takes
its place with a model of its own; after a few of them the process ends. One of several processes ends at once
and is replaced by its parent (`processes`), which also ends one whose event loop stands still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modeldyno.base.command.console import say
from modeldyno.base.errors import ServerError

if TYPE_CHECKING:
    from modeldyno.serving.dispatch.batching import Batcher
    from modeldyno.serving.dispatch.pool import WorkerPool
    from modeldyno.serving.meters.board import Board

_LEAST_S = 5.0
_MOST_LEFT = 4


def hung_after_s(timeout_s: float) -> float:
    """How long a job may run until its worker is replaced: its deadline, and as long again, but 5 s more."""
    return timeout_s + max(timeout_s, _LEAST_S)


@dataclass(frozen=True)
class HangWatch:
    """Looks after the workers of process `own`, whose requests have the deadline `timeout_s`."""

    pool: WorkerPool
    batcher: Batcher | None
    board: Board
    own: int
    timeout_s: float | None

    def why_none_answers(self) -> str | None:
        """Say that no worker of any process takes a request, or None where one does."""
        self._note()
        if not all(row.stuck for row in self.board.rows if row.ready):
            return None
        return "no worker answers: each has been running one request for longer than its deadline"

    def look(self) -> ServerError | None:
        """Replace workers that hang; returns why the process must end, if it must."""
        self._note()
        if self.timeout_s is None:
            return None
        limit_s = hung_after_s(self.timeout_s)
        hung = self.pool.hung(limit_s)
        if hung and len(self.board.rows) > 1:
            return ServerError(f"{hung} of its workers run a request for longer than {limit_s:g} s")
        replaced = self.pool.replace_hung(limit_s, _MOST_LEFT) if hung else 0
        if replaced:
            say(f"{replaced} workers run a request for longer than {limit_s:g} s: replaced")
        if replaced and self.batcher:
            self.batcher.add_workers(replaced)
        return self._why_end(limit_s)

    def _note(self) -> None:
        row = self.board.rows[self.own]
        row.stuck = self.timeout_s is not None and self.pool.stuck(self.timeout_s) == self.pool.workers

    def _why_end(self, limit_s: float) -> ServerError | None:
        if self.pool.failure is not None:
            return ServerError(f"a worker that hangs can't be replaced: {self.pool.failure}")
        if self.pool.hung(limit_s) < self.pool.workers:
            return None
        return ServerError(
            f"every worker runs a request for longer than {limit_s:g} s, and so do {_MOST_LEFT} that were "
            "replaced: a thread can't be ended, so the server ends",
            hint="with `processes` it would go on",
        )
