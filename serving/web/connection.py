"""One connection: its answers, and a clock on what its client does (`intake` reads what it sends).

Uvicorn waits for ever for the rest of a request, and for a client that does not read its answer. Here each
connection notes when it began to wait, and `Watch` looks at all of them now and then: no timer for a request.

A client that has closed its sending side may have left, or may wait for its answer: TCP says the same of
both. One that still waits in the queue gets the first bytes of its answer early; the system of one that has
left refuses them, and its request is not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from modeldyno.serving.web.body import IS_LATE
from modeldyno.serving.web.heads import CLOSE, PROBE, answer_head
from modeldyno.serving.web.intake import Intake
from modeldyno.serving.web.lending import NOT_LENT, Lender, Lent
from modeldyno.serving.web.sockets import Held, has_ended, has_reset, unsent
from modeldyno.serving.wire.answer import Answer, Request

CONNECTION = "dyno.connection"
"""In a request's state: the connection that it came over."""
_LINGER_S = 5.0
_LOOK_EVERY_S = 0.05
_SMALL_BYTES = 1 << 14  # copying it costs less than a second write
_PROBE_AFTER_S = 0.05  # a fast model has answered by then
_SEEN_OFF_AFTER_S = (0.0, 0.002, 0.01, 0.05, 0.2, 0.7)


class Connection(Intake):
    """One client."""

    def __init__(
        self, *, ended: Callable[[], None] | None = None, lender: Lender | None = None, **uvicorns: Any
    ) -> None:
        super().__init__(**uvicorns)
        self.number = NOT_LENT
        """Its number at the parent of this process, if it is lent to that."""
        self._lender = lender
        self._lent: Lent | None = None
        self.app_state = {**self.app_state, CONNECTION: self}
        self.client_done = False
        """Whether it has closed its sending side, and still waits for an answer, or has left."""
        self.lost = False
        self._ended = ended
        self._request: Request | None = None
        self._paused_since_s: float | None = None
        self._probed = False

    async def answer(self, cycle: Any, answer: Answer, *, close: bool) -> None:
        """Write an answer whole: uvicorn's way takes it in two parts, and looks for faults in each header."""
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        if self._lent is not None:
            self._lent.answered()
        close = close or not cycle.keep_alive or CLOSE in answer.headers
        cycle.keep_alive = not close
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        head = answer_head(answer, close=close)
        body = b"" if cycle.scope["method"] == "HEAD" else answer.body
        if len(body) <= _SMALL_BYTES:
            cycle.transport.write(head + body)
        else:
            cycle.transport.write(head)
            cycle.transport.write(body)
        cycle.message_event.set()
        if close:
            cycle.transport.close()
        cycle.on_response()

    def attend(self, request: Request | None) -> None:
        """Tell `request` when its client leaves; None: nobody any more."""
        self._request = request
        if self.lost and request is not None:
            request.leave()

    async def see_off(self) -> bool:
        """Close when a client that is done has its last answer; whether it took it."""
        if self._is_answering():  # its next request
            return True
        pauses_s = iter(_SEEN_OFF_AFTER_S)
        while True:
            waiting = self.transport.get_write_buffer_size()  # a slow reader's: `check` minds the time
            pause_s = _LOOK_EVERY_S if waiting else next(pauses_s, None)
            if pause_s is None:
                break
            await asyncio.sleep(pause_s)
            if self.lost or has_reset(self.transport):
                self.transport.abort()
                return False
            if not unsent(self.transport):
                break
        self.transport.close()
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        if self._lender is not None:
            self._lent = self._lender.lend(transport.get_extra_info("socket").fileno())
            self.number = NOT_LENT if self._lent is None else self._lent.number
        self._idle_since_s = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and let go of what was asked for: uvicorn knows the newest request only."""
        self.lost = True
        self.app_state = {}
        if self._is_answering():
            self._abandon(self._running)
        if self._request is not None:
            self._request.leave()
        if self._lent is not None:
            self._lent.end(self.transport.get_extra_info("socket").fileno())
            self._lent = None
        super().connection_lost(exc)
        if self._ended is not None:
            self._ended()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection for the answers to whole requests; close it where there are none."""
        self._drop_unread()
        if self._deaf or not self._is_answering() or self._running.more_body:
            return False
        self.client_done = True
        self._hold()
        return True

    def pause_writing(self) -> None:
        """Note since when the client reads too slowly."""
        self._paused_since_s = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self._paused_since_s = None
        super().resume_writing()

    def check(self, now_s: float, limit_s: float) -> None:
        """End it, or its request, when its client has left or has taken longer than `limit_s`."""
        if (
            self._is_past(self._paused_since_s, now_s, limit_s)
            or self._is_past(self._lingers_since_s, now_s, min(_LINGER_S, limit_s))
            or self._has_left()
        ):
            self._abort()
        elif self._is_past(self._idle_since_s, now_s, self.timeout_keep_alive):
            self.transport.close()
        elif (
            self._is_past(self._receiving_since_s, now_s, limit_s)
            and not self.flow.read_paused  # then it is us who take our time, with an earlier request
        ):
            self._end_request()

    def _is_whole(self) -> None:
        if self._lent is not None and self.cycle is self._running:
            self._lent.asked()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running, self._request, self._probed = cycle, None, False
        if self._lent is not None and not cycle.more_body:
            self._lent.asked()
        if self.client_done:
            self._hold()
        super()._start_asgi_task(cycle, app)

    def _hold(self) -> None:
        if not isinstance(self._running.transport, Held):
            self._running.transport = Held(self.transport, self.loop, sum(_SEEN_OFF_AFTER_S))
            self.loop.call_later(_PROBE_AFTER_S, self._probe)

    def _has_left(self) -> bool:
        """Whether its system says so; asked where nothing is read, so that nothing tells of itself."""
        if self._probed:
            return has_reset(self.transport)
        if not self.flow.read_paused or not self._is_answering() or self._running.more_body:
            return False
        if has_ended(self.transport):  # which is not all: there may be requests that are not read yet
            self._hold()
        return has_reset(self.transport)

    @staticmethod
    def _is_past(since_s: float | None, now_s: float, limit_s: float) -> bool:
        return since_s is not None and now_s - since_s > limit_s

    def _abort(self) -> None:
        if self._is_answering():  # else it might still write
            self._abandon(self._running)
        self.transport.abort()

    def _end_request(self) -> None:
        if "path" not in cast("dict[str, Any]", self.scope):  # not all headers are there
            self._refuse(408, "the headers did not come in time")
        elif self.cycle.response_complete:  # refused early, and still being sent
            self.transport.close()
        else:
            self._receiving_since_s = None
            self.scope["state"][IS_LATE] = True
            self.cycle.message_event.set()

    def _probe(self) -> None:
        """Send what any answer begins with to a client that may have left; its system refuses it then."""
        waiting = self._request is not None and not self._request.begun
        if self.transport.is_closing() or not self._is_answering() or self._running.response_started:
            return
        if waiting and isinstance(self._running.transport, Held):
            self._probed = True
            if self._lent is not None:
                self._lent.probed()
            self._running.transport.begin(PROBE)
