"""Where one HTTP/1.1 answer to a POST ends on the wire (RFC 9112, 6): no byte behind it decides its status.

Interim answers (1xx) are passed over. A body ends by the kind of answer (204 and 304 have none), by its
chunks, by Content-Length, or with the connection. Bytes behind the end are no part of anything: the
connection is given up, since they could be mistaken for the next answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

MAX_HEAD_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 16
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\r\n")
_SWITCHING = 101
_WITHOUT_BODY = (204, 304)

Read = Callable[[], bytes]
"""Gives the bytes that have come, nothing at the end of the connection."""


class BadAnswerError(ValueError):
    """What came is no HTTP answer."""


class CutAnswerError(ConnectionError):
    """The connection ended before the answer did."""


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes
    keeps: bool
    """Whether the connection is good for another request."""


class _Head(NamedTuple):
    status: int
    keeps: bool
    chunked: bool
    length: int | None
    """None: the body ends with the connection, unless it is chunked."""
    location: bytes


def read_answer(read: Read) -> Answer:
    """Read one answer, interim ones before it included.

    Raises:
        BadAnswerError: it does not follow the protocol.
        CutAnswerError: the connection ended within it, or before it.
    """
    return read_redirect(read)[0]


def read_redirect(read: Read) -> tuple[Answer, bytes]:
    """Read one answer as `read_answer` does; and its Location, empty where it has none."""
    stream = _Stream(read)
    head = _head(stream.until(b"\r\n\r\n", MAX_HEAD_BYTES))
    while head.status < 200:
        head = _head(stream.until(b"\r\n\r\n", MAX_HEAD_BYTES))
    if head.status in _WITHOUT_BODY:
        body = b""
    elif head.chunked:
        body = _chunks(stream)
    elif head.length is not None:
        body = stream.exactly(head.length)
    else:
        return Answer(head.status, stream.rest(), keeps=False), head.location
    return Answer(head.status, body, keeps=head.keeps and not stream.buffer), head.location


class _Stream:
    """Bytes of a connection, as many as are wanted at a time."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.buffer = bytearray()

    def until(self, mark: bytes, most: int) -> bytes:
        """Take everything up to and including `mark`."""
        looked_at = 0
        while (place := self.buffer.find(mark, looked_at)) < 0:
            if len(self.buffer) > most:
                raise BadAnswerError(f"no end of the head or line in {most} bytes")
            looked_at = max(0, len(self.buffer) - len(mark) + 1)
            self._more()
        return self._take(place + len(mark))

    def exactly(self, size: int) -> bytes:
        """Take so many bytes."""
        while len(self.buffer) < size:
            self._more()
        return self._take(size)

    def rest(self) -> bytes:
        """Take all until the connection ends."""
        while data := self._read():
            self.buffer += data
        return self._take(len(self.buffer))

    def _more(self) -> None:
        data = self._read()
        if not data:
            seen = f"within the answer, after {len(self.buffer)} bytes of this part" if self.buffer else ""
            raise CutAnswerError(f"the connection ended {seen or 'before the answer'}")
        self.buffer += data

    def _take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken


def _head(text: bytes) -> _Head:
    found = _STATUS_LINE.match(text)
    if found is None:
        raise BadAnswerError(f"no HTTP/1.1 answer begins with {bytes(text[:40])!r}")
    minor, status = int(found[1]), int(found[2])
    if status == _SWITCHING:
        raise BadAnswerError("the server switched protocols, which nobody asked for")
    fields = _fields(text[found.end() : -2])
    options = _options(fields, b"connection")
    keeps = b"close" not in options if minor else b"keep-alive" in options
    (location,) = fields.get(b"location", [b""])[:1]
    codings = _options(fields, b"transfer-encoding")
    if codings:
        # With a length besides, somebody on the way may have read it otherwise.
        keeps = keeps and b"content-length" not in fields
        return _Head(status, keeps, codings[-1] == b"chunked", None, location)
    return _Head(status, keeps, False, _length(_options(fields, b"content-length")), location)


def _fields(text: bytes) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for line in text.split(b"\r\n")[:-1]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise BadAnswerError(f"a header line of the answer is none: {bytes(line[:40])!r}")
        fields.setdefault(name.lower(), []).append(value.strip())
    return fields


def _options(fields: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    """Values of a field, in small letters, one by one."""
    if name not in fields:
        return []
    return [option.strip().lower() for option in b",".join(fields[name]).split(b",")]


def _length(options: list[bytes]) -> int | None:
    if not options:
        return None
    if len(set(options)) > 1 or not options[0].isdigit():
        raise BadAnswerError(f"the answer's Content-Length is {b', '.join(options)[:40]!r}")
    return int(options[0])


def _chunks(stream: _Stream) -> bytes:
    parts = []
    while size := _chunk_size(stream.until(b"\r\n", MAX_LINE_BYTES)):
        parts.append(stream.exactly(size))
        if stream.exactly(2) != b"\r\n":
            raise BadAnswerError(f"a chunk of the answer is longer than its {size} bytes")
    while stream.until(b"\r\n", MAX_LINE_BYTES) != b"\r\n":
        pass  # a trailer
    return b"".join(parts)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadAnswerError(f"a chunk of the answer begins with {line[:40]!r}")
    return int(digits, 16)
