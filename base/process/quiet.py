"""Keeping what native libraries print off stderr, which belongs to our own progress lines."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_inside: list[int] = []  # one for each block that is open; the first holds the stderr to give back


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what is written to the process's stderr nowhere, for as long as a library's loader runs.

    C++ logs go to the descriptor itself, past `sys.stderr`. Errors come as exceptions and are not lost. Other
    threads' lines are, so that the block should be short; blocks of several threads may overlap.
    """
    with _lock:
        _inside.append(-1 if _inside else _redirected())
    try:
        yield
    finally:
        with _lock:
            _leave()


def _redirected() -> int:
    """Point descriptor 2 nowhere; give a copy of what it was, -1 where there is none."""
    with suppress(OSError):
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        return kept
    return -1


def _leave() -> None:
    if len(_inside) > 1:
        _inside.pop()  # never the first, whichever block ends
        return
    kept = _inside.pop()
    if kept >= 0:
        os.dup2(kept, 2)
        os.close(kept)
