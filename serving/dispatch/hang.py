"""Workers that hang: told by /ping, replaced, at last a reason to end. A deadline says what hanging is.

A thread can't be ended. One that still runs its job long after its deadline is left behind, and another takes
its place with a model of its own; after a few of them the process ends. One of several processes ends at once
and is replaced by its parent (`process.supervisor`), which also ends one whose event loop stands still.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modeldyno.base.command.console import say
from modeldyno.base.errors import ServerError

if TYPE_CHECKING:
    from modeldyno.serving.dispatch.shelf import ShelvedModel
    from modeldyno.serving.meters.board import Member

_LEAST_S = 5.0
_MOST_LEFT = 4
_NONE_ANSWERS = "no worker answers: each has been running one request for longer than its deadline"


def hung_after_s(timeout_s: float) -> float:
    """How long a job may run until its worker is replaced: its deadline, and as long again, but 5 s more."""
    return timeout_s + max(timeout_s, _LEAST_S)


class HangWatch:
    """Looks after the workers of all models in the process `member`."""

    def __init__(self, models: Iterable[ShelvedModel], member: Member) -> None:
        self._models = tuple(models)
        self._member = member

    def why_none_answers(self) -> str | None:
        """Say that no worker of any process takes a request, or None where one does."""
        self._note()
        if not all(row.stuck for row in self._member.board.rows if row.ready):
            return None
        return _NONE_ANSWERS

    def why_not(self, model: ShelvedModel) -> str | None:
        """Say that no worker takes a request for this model, or None where one does.

        Of several processes it is known only whether any of their models is answered.
        """
        if self._member.alone and _is_stuck(model):
            return _NONE_ANSWERS
        return self.why_none_answers()

    def look(self) -> ServerError | None:
        """Replace workers that hang; returns why the process must end, if it must."""
        self._note()
        found = (self._look(model, model.timeout_s) for model in self._models if model.timeout_s is not None)
        return next((why for why in found if why is not None), None)

    def _look(self, model: ShelvedModel, timeout_s: float) -> ServerError | None:
        limit_s = hung_after_s(timeout_s)
        hung = model.pool.hung(limit_s)
        if hung and not self._member.alone:
            return ServerError(f"{hung} of its workers run a request for longer than {limit_s:g} s")
        replaced = model.pool.replace_hung(limit_s, _MOST_LEFT) if hung else 0
        if replaced:
            say(f"{replaced} workers run a request for longer than {limit_s:g} s: replaced")
        if replaced and model.batcher:
            model.batcher.add_workers(replaced)
        return _why_end(model, limit_s)

    def _note(self) -> None:
        self._member.row.stuck = all(map(_is_stuck, self._models))


def _is_stuck(model: ShelvedModel) -> bool:
    return model.timeout_s is not None and model.pool.stuck(model.timeout_s) == model.pool.workers


def _why_end(model: ShelvedModel, limit_s: float) -> ServerError | None:
    if model.pool.failure is not None:
        return ServerError(f"a worker that hangs can't be replaced: {model.pool.failure}")
    if model.pool.hung(limit_s) < model.pool.workers:
        return None
    return ServerError(
        f"every worker runs a request for longer than {limit_s:g} s, and so do {_MOST_LEFT} that were "
        "replaced: a thread can't be ended, so the server ends",
        hint="with `processes` it would go on",
    )
