"""Keeping what native libraries print off stderr, which belongs to our own progress lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what is written to the process's stderr nowhere, for as long as a library's loader runs.

    C++ logs go to the descriptor itself, past `sys.stderr`. Errors come as exceptions and are not lost. Other
    threads' lines are, so that the block should be short.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError, ValueError):  # no stderr at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
