"""One connection: uvicorn's, with a clock on what its client does, and bounds on what it may send.

Uvicorn waits for ever for the rest of a request, and for a client that does not read its answer. Here each
connection notes when it began to wait, and `Watch` looks at all of them now and then: no timer for a request.

Offers of another protocol (`Upgrade`) are ignored, as RFC 9110 7.8 allows: httptools ends such a request
before its body, so its head is given to the parser once more without the offer.

A client that has closed its sending side may have left, or may wait for its answer: TCP says the same of
both. One that still waits in the queue gets the first bytes of its answer early; the system of one that has
left refuses them, and its request is not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modeldyno.serving.process.keeper import NOT_LENT, Lender, Lent
from modeldyno.serving.web.heads import (
    CLOSE,
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    PROBE,
    TOO_LONG,
    answer_head,
    last_answer,
    too_long,
    without_offer,
)
from modeldyno.serving.web.sockets import Held, has_ended, has_reset, unsent
from modeldyno.serving.wire.answer import Answer, Request

IS_LATE = "dyno.late"
"""In a request's state once its body has taken too long; who waits for the body is woken."""
CONNECTION = "dyno.connection"
"""In a request's state: the connection that it came over."""
_GATHER_BYTES = 1 << 20
_LINGER_S = 5.0
_LOOK_EVERY_S = 0.05
_SMALL_BYTES = 1 << 14  # copying it costs less than a second write
_PROBE_AFTER_S = 0.05  # a fast model has answered by then
_SEEN_OFF_AFTER_S = (0.0, 0.002, 0.01, 0.05, 0.2, 0.7)


class Connection(HttpToolsProtocol):
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
        self._running: Any = None
        """The cycle of the request that is being answered; those behind it wait in `pipeline`."""
        self._request: Request | None = None
        self._last_words: bytes | None = None
        """What is said when all that came before is answered."""
        self._deaf = False
        self._refusal = (400, "this is no valid HTTP request")
        self._offered = False
        """Whether this request, of which the head is read, offers another protocol."""
        self._unspent_bytes = 0
        """What came since the last end of a head or part of a body."""
        self._idle_since_s: float | None = None
        """Since when it is open without a request; uvicorn minds those that had one."""
        self._receiving_since_s: float | None = None
        self._paused_since_s: float | None = None
        self._lingers_since_s: float | None = None
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
        newest = self.cycle
        if newest is not None and newest.more_body and self.pipeline and self.pipeline[0][0] is newest:
            self.pipeline.popleft()
        if self._deaf or not self._is_answering() or self._running.more_body:
            return False
        self.client_done = True
        self._hold()
        return True

    def data_received(self, data: bytes) -> None:
        """Parse what came; what breaks a rule is refused, and nothing more is read."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._unspent_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self._feed_rest(data, offer.args[0])
        except HttpParserError:
            self._refuse(*self._refusal)
        if self._unspent_bytes > MOST_HEAD_BYTES and not self._deaf:
            self._refuse(431, TOO_LONG)

    def on_message_begin(self) -> None:
        """Start the clock with a request's first byte."""
        super().on_message_begin()
        self._idle_since_s = None
        self._receiving_since_s = self.loop.time()

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is too long, or comes once more."""
        if self._unspent_bytes > MOST_HEAD_BYTES or len(self.headers) > MOST_HEADERS:
            self._check_head()
        self._unspent_bytes = 0
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._offered:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock with the last."""
        self._unspent_bytes = 0
        if self._offered:
            return
        self._receiving_since_s = None
        if self.cycle.response_complete:
            return
        self.cycle.more_body = False
        self.cycle.message_event.set()
        if self._lent is not None and self.cycle is self._running:
            self._lent.asked()

    def on_body(self, body: bytes) -> None:
        """Gather a body before who waits for it is woken; uvicorn wakes and pauses for each 64 KiB."""
        self._unspent_bytes = 0
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > _GATHER_BYTES:
            self.flow.pause_reading()
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Go on with the next request, or say what is to be said last."""
        super().on_response_complete()
        if self._last_words is not None and not self._is_answering() and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._hang_up(self._last_words)

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

    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    @staticmethod
    def _is_past(since_s: float | None, now_s: float, limit_s: float) -> bool:
        return since_s is not None and now_s - since_s > limit_s

    @staticmethod
    def _abandon(cycle: Any) -> None:
        cycle.disconnected = True
        cycle.message_event.set()

    def _abort(self) -> None:
        if self._is_answering():  # else it might still write
            self._abandon(self._running)
        self.transport.abort()

    def _feed_rest(self, data: bytes, start: int) -> None:
        """Go on behind a head with an offer, which the parser gets once more."""
        rest = memoryview(bytes(data))[start:]
        while True:
            if not self._offered:  # CONNECT, refused by now: what follows is not for us
                self._deaf = True
                return
            head = self._head_without_offer()
            # A new parser: with "close" beside the offer that one takes no more.
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
                return
            except HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
            except HttpParserError:
                self._refuse(*self._refusal)
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        return without_offer(self.parser.get_method(), self.url, version, self.headers)

    def _check_head(self) -> None:
        if words := too_long(self.url, self.headers):
            self._refusal = 431, words
            raise HttpParserError(words)

    def _refuse(self, status: int, message: str) -> None:
        """Answer outside of any request; after the answers to those that came before."""
        in_body = self._receiving_since_s is not None and "path" in cast("dict[str, Any]", self.scope)
        answered = in_body and self.cycle.response_complete
        self._deaf = True
        self._receiving_since_s = None
        words = b"" if answered else last_answer(status, message)
        newest = self.cycle
        if newest is not None and newest.more_body and self.pipeline and self.pipeline[0][0] is newest:
            self.pipeline.popleft()
        if self._is_answering() and not self._running.more_body:
            self._last_words = words
            return
        if self._is_answering():  # whose body it was
            self._abandon(self._running)
            if self._running.response_started:
                words = b""
        self._hang_up(words)

    def _hang_up(self, words: bytes) -> None:
        """Close the sending side alone: with bytes unread, the system would take the words back."""
        if self.transport.is_closing():
            return
        self.transport.write(words)
        self._lingers_since_s = self.loop.time()
        self.transport.write_eof()

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
