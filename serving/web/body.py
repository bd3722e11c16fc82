"""Request bodies: collected while they stream, and unpacked, never past the limit."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from modeldyno.base.errors import RequestError
from modeldyno.serving.wire.answer import Headers, header
from modeldyno.serving.wire.npy import shown

IS_LATE = "dyno.late"
"""In a request's state once its body has taken too long; who waits for the body is woken."""
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

TIMED_OUT = 408
TOO_LARGE = 413
_UNSUPPORTED_TYPE = 415
# What HTTP calls deflate is a zlib stream; 16 more says gzip to zlib.
_GZIP = b"\x1f\x8b"
_MOST_MEMBERS = 10_000  # an empty one costs more time than its 20 bytes should
_STEP_BYTES = 1 << 16
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(
    headers: Headers, receive: Receive, max_bytes: int, state: Mapping[str, Any]
) -> bytes | None:
    """Read the body as it was sent, or None when the client leaves in the middle of it.

    Raises:
        RequestError: it is larger than `max_bytes`, packed in an unknown way, or late as `state` says.
    """
    _encoding(headers)
    too_large = RequestError(f"the body is larger than the limit of {max_bytes} bytes", status=TOO_LARGE)
    if int(headers.get(b"content-length", b"0")) > max_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message["body"])
        size += len(message["body"])
        if size > max_bytes:
            raise too_large
        if IS_LATE in state:
            raise RequestError("the body did not come in time", status=TIMED_OUT)
        if not message["more_body"]:
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def unpack(headers: Headers, body: bytes, max_bytes: int) -> bytes:
    """Undo the Content-Encoding; a plain body is returned as it is.

    Raises:
        RequestError: it unpacks to more than `max_bytes`, is damaged, or was cut short.
    """
    encoding = _encoding(headers)
    if encoding == "identity":
        return body
    unpacked = _Unpacked(body, encoding, max_bytes)
    unpacked.take(len(body))
    for _ in range(_MOST_MEMBERS - 1):
        if encoding == "deflate" or not unpacked.has_more():
            break
        unpacked.take(_STEP_BYTES)
    unpacked.check_end()
    return unpacked.plain()


class _Unpacked:
    """A packed body while it is unpacked: a gzip body may be several streams, one behind the other."""

    def __init__(self, body: bytes, encoding: str, max_bytes: int) -> None:
        self._body = memoryview(body)
        self._encoding = encoding
        self._max_bytes = self._left_bytes = max_bytes
        self._at = 0
        self._parts: list[bytes] = []

    def take(self, step_bytes: int) -> None:
        """Unpack the next stream, given so much at a time: zlib copies what it was given and did not need."""
        stream = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        while not stream.eof:
            packed = self._body[self._at : self._at + step_bytes]
            if not packed:
                raise RequestError(f"the {self._encoding} body was cut short")
            try:
                # One byte more than allowed: a bomb is never unpacked further than that.
                plain = stream.decompress(packed, self._left_bytes + 1)
            except zlib.error as error:
                why = f"the body is no {self._encoding} data, or is damaged: {error}"
                raise RequestError(why) from error
            self._left_bytes -= len(plain)
            if self._left_bytes < 0:
                raise RequestError(f"the body unpacks to more than {self._max_bytes} bytes", status=TOO_LARGE)
            self._at += len(packed) - len(stream.unused_data)
            self._parts.append(plain)

    def has_more(self) -> bool:
        """Whether another stream seems to follow."""
        return self._body[self._at : self._at + len(_GZIP)] == _GZIP

    def check_end(self) -> None:
        """Refuse what follows the last stream, but for the zeros that pad a gzip body."""
        if self._encoding != "deflate" and self.has_more():
            raise RequestError(f"the body is more than {_MOST_MEMBERS} gzip streams, one behind the other")
        rest = bytes(self._body[self._at :])
        if rest.strip(b"\0") or (rest and self._encoding == "deflate"):
            raise RequestError(f"bytes follow the end of the {self._encoding} body")

    def plain(self) -> bytes:
        """Give all that was unpacked."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


def _encoding(headers: Headers) -> str:
    encoding = header(headers, b"content-encoding").strip().lower() or "identity"
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise RequestError(
            f"unknown Content-Encoding {shown(encoding)}: expected gzip, deflate or none",
            status=_UNSUPPORTED_TYPE,
        )
    return encoding
