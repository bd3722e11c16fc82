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
_TOO_LARGE = 413
_UNSUPPORTED_TYPE = 415
# What HTTP calls deflate is a zlib stream; 16 more says gzip to zlib.
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(
    headers: Headers, receive: Receive, max_bytes: int, state: Mapping[str, Any]
) -> bytes | None:
    """Read the body as it was sent, or None when the client leaves in the middle of it.

    Raises:
        RequestError: it is larger than `max_bytes`, packed in an unknown way, or late as `state` says.
    """
    _encoding(headers)
    too_large = RequestError(f"the body is larger than the limit of {max_bytes} bytes", status=_TOO_LARGE)
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
    try:
        stream = zlib.decompressobj(_WINDOW_BITS[encoding])
        # One byte more than allowed: a bomb is never unpacked further than that.
        plain = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise RequestError(f"the body is no {encoding} data, or is damaged: {error}") from error
    if len(plain) > max_bytes:
        raise RequestError(f"the body unpacks to more than {max_bytes} bytes", status=_TOO_LARGE)
    if not stream.eof:
        raise RequestError(f"the {encoding} body was cut short")
    if stream.unused_data:
        raise RequestError(f"bytes follow the end of the {encoding} body")
    return plain


def _encoding(headers: Headers) -> str:
    encoding = header(headers, b"content-encoding").strip().lower() or "identity"
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise RequestError(
            f"unknown Content-Encoding {shown(encoding)}: expected gzip, deflate or none",
            status=_UNSUPPORTED_TYPE,
        )
    return encoding
