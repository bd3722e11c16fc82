"""Handlers of signals for a while, and interrupts that come while TVM calls back into Python.

TVM turns whatever a callback raises into an error of its own; a KeyboardInterrupt becomes a RuntimeError
without text. Who goes on after errors must know that this one was an interrupt.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], object]


class Terminated(KeyboardInterrupt):
    """SIGTERM came: an interrupt, but for the exit code."""


class Interrupts:
    """Remembers what a signal's handler raised."""

    def __init__(self) -> None:
        self._raised: BaseException | None = None

    def raise_again(self) -> None:
        """Raise what a handler raised, if one did."""
        if self._raised is not None:
            raise self._raised

    def watched(self, handler: Handler) -> Handler:
        """Give a handler that does the same and remembers."""

        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                self._raised = error
                raise

        return handle


@contextmanager
def handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Set handlers of signals inside the block, and the earlier ones again behind it.

    Handlers run in the main thread only: from any other thread nothing is set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}
    try:
        for number, handler in handlers.items():
            before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Inside, SIGTERM is a KeyboardInterrupt, as Ctrl-C is: `Terminated`."""
    with handled({signal.SIGTERM: _terminated}):
        yield


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def watched_interrupts() -> Iterator[Interrupts]:
    """Watch the handlers of SIGINT and SIGTERM inside the block; they do what they did."""
    interrupts = Interrupts()
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    watched = {number: interrupts.watched(handler) for number, handler in found.items() if callable(handler)}
    with handled(watched):
        try:
            yield interrupts
        except Exception:
            interrupts.raise_again()
            raise
