"""What one client sends: uvicorn's parsing, with bounds on heads, and no other protocols.

Offers of another protocol (`Upgrade`) are ignored, as RFC 9110 7.8 allows: httptools ends such a request
before its body, so its head is given to the parser once more without the offer.
"""

from __future__ import annotations

from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modeldyno.serving.web.heads import (
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    TOO_LONG,
    last_answer,
    too_long,
    without_offer,
)

_GATHER_BYTES = 1 << 20


class Intake(HttpToolsProtocol):
    """The reading side of a connection; it notes since when its client has kept it waiting."""

    def __init__(self, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._running: Any = None
        """The cycle of the request that is being answered; those behind it wait in `pipeline`."""
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
        self._lingers_since_s: float | None = None

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
        self._is_whole()

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

    def _is_whole(self) -> None:
        """Hear that a request is here whole."""

    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    @staticmethod
    def _abandon(cycle: Any) -> None:
        cycle.disconnected = True
        cycle.message_event.set()

    def _refuse(self, status: int, message: str) -> None:
        """Answer outside of any request; after the answers to those that came before."""
        in_body = self._receiving_since_s is not None and "path" in cast("dict[str, Any]", self.scope)
        answered = in_body and self.cycle.response_complete
        self._deaf = True
        self._receiving_since_s = None
        words = b"" if answered else last_answer(status, message)
        self._drop_unread()
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

    def _drop_unread(self) -> None:
        """Forget the newest request where its body is not here and its turn has not come."""
        newest = self.cycle
        if newest is not None and newest.more_body and self.pipeline and self.pipeline[0][0] is newest:
            self.pipeline.popleft()

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
