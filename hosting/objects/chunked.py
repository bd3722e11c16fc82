"""The body of `Content-Encoding: aws-chunked`: sizes in hex, perhaps signed chunks, trailers at the end.

4;chunk-signature=…\r\nWiki\r\n0\r\nx-amz-checksum-crc32:…\r\n\r\n
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modeldyno.hosting.wire.errors import ApiError

MOST_LINE = 4096
MOST_TRAILERS = 16
_SIZE, _DATA, _END_OF_DATA, _TRAILERS, _DONE = range(5)


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether a body is sent so."""
    return "aws-chunked" in headers.get("content-encoding", "").lower() or headers.get(
        "x-amz-content-sha256", ""
    ).startswith("STREAMING-")


class Decoder:
    """Decodes piece by piece; holds at most a line."""

    def __init__(self) -> None:
        self._state = _SIZE
        self._left = 0
        self._line = bytearray()
        self.trailers: dict[str, str] = {}

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Give the data in a piece. Raises ApiError where the form is wrong."""
        view, at = memoryview(piece), 0
        while at < len(view):
            if self._state == _DATA:
                taken = view[at : at + self._left]
                at, self._left = at + len(taken), self._left - len(taken)
                if not self._left:
                    self._state = _END_OF_DATA
                yield bytes(taken)
                continue
            end = piece.find(b"\n", at)
            stop = len(view) if end < 0 else end + 1
            self._line += view[at:stop]
            at = stop
            if len(self._line) > MOST_LINE:
                raise _broken("a line is too long")
            if end >= 0:
                self._take_line()

    def finish(self) -> dict[str, str]:
        """Give the trailers, names in small letters. Raises ApiError where the end is missing."""
        if self._state not in (_DONE, _TRAILERS) or self._line:
            raise ApiError("IncompleteBody", "The body ended before its last chunk.")
        return self.trailers

    def _take_line(self) -> None:
        line = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._state == _END_OF_DATA:
            if line:
                raise _broken("a chunk is longer than its size")
            self._state = _SIZE
        elif self._state == _SIZE:
            self._begin(line)
        elif self._state == _TRAILERS:
            self._trailer(line)
        else:
            raise _broken("there is data behind the last chunk")

    def _begin(self, line: bytes) -> None:
        digits = line.partition(b";")[0].strip()
        if not 0 < len(digits) <= 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise _broken("the size of a chunk is no hexadecimal number")
        self._left = int(digits, 16)
        self._state = _DATA if self._left else _TRAILERS

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._state = _DONE
            return
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or len(self.trailers) >= MOST_TRAILERS:
            raise _broken("a trailer is no `name:value`")
        self.trailers[name.strip().lower()] = value.strip()


def _broken(what: str) -> ApiError:
    return ApiError("InvalidRequest", f"The aws-chunked body is malformed: {what}.")
