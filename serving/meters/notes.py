"""Which requests a worker process is running, in shared memory: its parent names them when it dies.

The thread that runs a request notes it, and how its body begins, before anything else touches it. Only the
parent of a dead process makes a digest of it: copying what is short costs next to nothing.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

# Whether it is one, its connection, bytes of the line, of the body, and of the body that is kept.
_HEAD = struct.Struct("=BHHQI")
_LINE_BYTES = 1008
_KEPT_BYTES = 1 << 16
_NOTE_BYTES = 1024 + _KEPT_BYTES
_NOTES = 16
NOTES_BYTES = _NOTES * _NOTE_BYTES
"""Bytes for one process: whole pages."""


@dataclass(frozen=True)
class Note:
    """One request that was being run."""

    line: str
    size: int
    kept: bytes
    connection: int
    """Its number, where it is lent."""

    def __str__(self) -> str:
        part = "" if self.size == len(self.kept) else f" of the first {len(self.kept)}"
        return f"{self.line}, {self.size} bytes, SHA-256{part} {hashlib.sha256(self.kept).hexdigest()}"


class Notes:
    """The notes of one process; of more requests at a time than have a place no more are noted."""

    def __init__(self, memory: memoryview) -> None:
        self._places = [memory[start : start + _NOTE_BYTES] for start in range(0, NOTES_BYTES, _NOTE_BYTES)]
        self._free = list(range(_NOTES))  # taking and giving back are whole, whichever thread does it

    def begin(self, line: bytes, body: bytes, connection: int) -> int | None:
        """Note a request, described in one line; returns what `end` wants."""
        try:
            number = self._free.pop()
        except IndexError:
            return None
        place = self._places[number]
        line, kept = line[:_LINE_BYTES], body[:_KEPT_BYTES]
        start = _HEAD.size
        place[start : start + len(line)] = line
        place[1024 : 1024 + len(kept)] = kept
        _HEAD.pack_into(place, 0, 1, connection, len(line), len(body), len(kept))
        return number

    def end(self, number: int) -> None:
        """Strike a note out."""
        self._places[number][0] = 0
        self._free.append(number)

    def take(self) -> list[Note]:
        """Return what a process left behind, and strike it out."""
        found = []
        for place in self._places:
            is_one, connection, line, size, kept = _HEAD.unpack_from(place)
            place[0] = 0
            if is_one:
                text = bytes(place[_HEAD.size : _HEAD.size + line]).decode("latin-1")
                found.append(Note(text, size, bytes(place[1024 : 1024 + kept]), connection))
        return found
