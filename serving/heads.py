"""Heads of requests: how long they may be, offers in them, and answers outside of any request."""

from __future__ import annotations

from collections.abc import Sequence

from serving.answer import error_json

MOST_HEAD_BYTES = 1 << 16
"""Of a request's line and headers; of its trailers too."""
MOST_HEADERS = 256
PROBE = b"HTTP/1.1 "
"""What every answer begins with."""
TOO_LONG = f"the headers are longer than {MOST_HEAD_BYTES} bytes"
_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}
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


def last_answer(status: int, message: str) -> bytes:
    """Write an error after which the connection is closed."""
    body = error_json(message)
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%s" % (status, _REASONS[status], len(body), body)
    )
