"""How much may stand in one text: a parser that makes an object of each value holds the interpreter's lock.

While it does, nothing else is answered, /ping neither, and hosts take a server that does not answer /ping
within two seconds for dead. So what would take longer is refused by a count of its marks, which takes 0.1 ms
for a MB. Marks inside of strings count too: the bounds leave room for them.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from modeldyno.base.errors import RequestError
from modeldyno.base.units import BYTES_PER_MIB

LARGE = BYTES_PER_MIB
"""Bytes; what is shorter can't hold enough of anything."""
MOST_LISTS = 4_000_000  # with simdjson, which makes objects of lists, but not of numbers
_MOST_CONTAINERS = 1_000_000
_MOST_STRINGS = 500_000
_MOST_VALUES = 8_000_000
_TOO_LARGE = 413
_PIECE_BYTES = BYTES_PER_MIB
_OPENING, _CLOSING = (np.frombuffer(marks, np.uint8) for marks in (b"[{", b"]}"))
_one_at_a_time = threading.Lock()


def check_lists(text: bytes, what: str) -> None:
    """Refuse JSON with more lists than any parser takes in good time.

    Raises:
        RequestError: as said (413).
    """
    if len(text) > LARGE:
        _check(what, "lists", count(text, b"["), MOST_LISTS)


def check_json(text: bytes, what: str) -> None:
    """Refuse JSON of which a general parser makes too many objects.

    Raises:
        RequestError: as said (413).
    """
    if len(text) > LARGE:
        _check(what, "lists and objects", count(text, b"[{"), _MOST_CONTAINERS)
        _check(what, "strings", count(text, b'"') // 2, _MOST_STRINGS)
        _check(what, "values", count(text, b",") + 1, _MOST_VALUES)


def check_csv(text: bytes, what: str) -> None:
    """Refuse CSV with too many values.

    Raises:
        RequestError: as said (413).
    """
    if len(text) > LARGE:
        _check(what, "values", count(text, b",\n"), _MOST_VALUES)


def count(text: bytes, marks: bytes) -> int:
    """Count the bytes that are one of `marks`."""
    found = 0
    for start in range(0, len(text), _PIECE_BYTES):
        piece = np.frombuffer(text, np.uint8, min(_PIECE_BYTES, len(text) - start), start)
        found += sum(int(np.count_nonzero(piece == mark)) for mark in marks)
    return found


def depth(text: bytes) -> int:
    """Return how deep lists and objects stand in one another, as if there were no strings."""
    level = deepest = 0
    for start in range(0, len(text), _PIECE_BYTES):
        piece = np.frombuffer(text, np.uint8, min(_PIECE_BYTES, len(text) - start), start)
        steps = np.isin(piece, _OPENING).astype(np.int64) - np.isin(piece, _CLOSING)
        levels = level + np.cumsum(steps)
        level, deepest = int(levels[-1]), max(deepest, int(levels.max()))
    return deepest


@contextmanager
def alone(text: bytes) -> Iterator[None]:
    """Inside, no other thread parses a large text, and objects are not searched for garbage.

    The search holds the lock too, for as long as the parser; and two threads would keep the event loop from
    it for twice the time.
    """
    if len(text) <= LARGE:
        yield
        return
    with _one_at_a_time:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_enabled:
                gc.enable()


def _check(what: str, kind: str, found: int, most: int) -> None:
    if found > most:
        raise RequestError(
            f"{what} holds {found:,} {kind}, more than {most:,}: send application/x-npy, raw bytes, or less "
            "at a time",
            status=_TOO_LARGE,
        )
