"""The lanes of one session: made as they are needed, lent to one inference at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

L = TypeVar("L")


class Lanes(Generic[L]):
    """As many lanes as ever ran side by side; the first is made at once, by `make`."""

    def __init__(self, make: Callable[[], L]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made = [make()]
        self._idle = list(self._made)

    @contextmanager
    def lend(self) -> Iterator[L]:
        """Lend one; it belongs to whoever comes next when the block ends."""
        with self._lock:
            lane = self._idle.pop() if self._idle else None
        if lane is None:
            lane = self._make()
            with self._lock:
                self._made.append(lane)
        try:
            yield lane
        finally:
            with self._lock:
                self._idle.append(lane)

    def for_each(self, act: Callable[[L], object]) -> None:
        """Do `act` with every lane that there is."""
        with self._lock:
            for lane in self._made:
                act(lane)
