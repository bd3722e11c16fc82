"""Heads of requests: how long they may be, offers in them, and answers outside of any request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus

from modeldyno.serving.wire.answer import Answer

MOST_HEAD_BYTES = 1 << 16
"""Of a request's line and headers; of its trailers too."""
MOST_HEADERS = 256
PROBE = b"HTTP/1.1 "
"""What every answer begins with."""
TOO_LONG = f"the headers are longer than {MOST_HEAD_BYTES} bytes"
CLOSE = (b"connection", b"close")
_STATUS_LINES = {each.value: b"HTTP/1.1 %d %s\r\n" % (each, each.phrase.encode()) for each in HTTPStatus}
_NO_CONTENT = 204
_OFFER = (b"upgrade", b"http2-settings")

Lines = Sequence[tuple[bytes, bytes]]


def too_long(url: bytes, headers: Lines) -> str | None:
    """Say why a head is refused, or None when it is not."""
    size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)  # ": " and the end of line
    if size > MOST_HEAD_BYTES:
        return TOO_LONG
    if len(headers) > MOST_HEADERS:
        return f"{len(headers)} headers: expected {MOST_HEADERS} at most"
    return None


def without_offer(method: bytes, url: bytes, version: bytes, headers: Lines) -> bytes:
    """Write a head again without its offer of another protocol; names are in lower case."""
    lines = [b"%s %s HTTP/%s" % (method, url, version)]
    for name, value in headers:
        if name == b"connection":
            tokens = (token.strip() for token in value.split(b","))
            lines.append(b"connection: " + b", ".join(each for each in tokens if each.lower() not in _OFFER))
        elif name not in _OFFER:
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join((*lines, b"", b""))


def answer_head(answer: Answer, *, close: bool) -> bytes:
    """Write the head of an answer; `close`: the connection ends with it."""
    status = _STATUS_LINES.get(answer.status) or b"HTTP/1.1 %d \r\n" % answer.status
    more = b"".join([b"%s: %s\r\n" % line for line in answer.headers if line != CLOSE])
    if answer.status == _NO_CONTENT:
        return b"%s%s%s\r\n" % (status, more, b"connection: close\r\n" if close else b"")
    return b"%scontent-type: %s\r\ncontent-length: %d\r\n%s%s\r\n" % (
        status,
        answer.content_type.encode(),
        len(answer.body),
        more,
        b"connection: close\r\n" if close else b"",
    )


def last_answer(status: int, message: str) -> bytes:
    """Write an error after which the connection is closed; no protocol is known, so for the habits of all."""
    answer = Answer(status, json.dumps({"error": message, "message": message}).encode())
    return answer_head(answer, close=True) + answer.body
