"""Interrupts that come while TVM calls back into Python.

TVM turns whatever a callback raises into an error of its own; a KeyboardInterrupt becomes a RuntimeError
without text. Who goes on after errors must know that this one was an interrupt.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Remembers what a signal's handler raised."""

    def __init__(self) -> None:
        self._raised: BaseException | None = None

    def raise_again(self) -> None:
        """Raise what a handler raised, if one did."""
        if self._raised is not None:
            raise self._raised

    def watched(
        self, handler: Callable[[int, FrameType | None], object]
    ) -> Callable[[int, FrameType | None], None]:
        """Give a handler that does the same and remembers."""

        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                self._raised = error
                raise

        return handle


@contextmanager
def watched_interrupts() -> Iterator[Interrupts]:
    """Watch the handlers of SIGINT and SIGTERM inside the block; they do what they did."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread only
        yield interrupts
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    try:
        for number, handler in handlers.items():
            signal.signal(number, interrupts.watched(handler))
        yield interrupts
    except Exception:
        interrupts.raise_again()
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
