"""Several worker processes behind one listening socket: `dyno serve --processes N`.

This process binds the address and runs no model. Each worker (`worker`) inherits the socket and, once all are
warm, takes connections from it (`acceptor`). A worker that dies takes only its own requests along and is
started again, after a pause that doubles each time; one that keeps dying ends the whole server.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FrameType

from dyno import procs
from dyno.console import say
from dyno.errors import ServerError
from dyno.host import usable_cores
from serving.board import Board, Row, shared_memory
from serving.settings import ServeSettings
from serving.shares import Share, by_neighbours, shares
from serving.worker import MOST_REPORT_BYTES, worker_args

_LOOK_EVERY_S = 0.05
_GRACE_S = 40.0  # longer than a worker's own drain
_STABLE_S = 60.0  # a worker that lived so long has no fault of its own
_FIRST_PAUSE_S = 0.25
_MOST_DEATHS = 5  # in a row


@dataclass
class _Slot:
    """One place for a worker, and who has it now."""

    number: int
    share: Share
    row: Row
    child: procs.Child
    report: int
    """Descriptor of the pipe that the worker's error comes through."""
    started_s: float
    deaths: int = 0
    again_s: float | None = None
    """When the next one is to be started; None while one runs."""


class Supervisor:
    """Keeps a worker for each of `shares` on `listener` until a signal."""

    def __init__(self, settings: ServeSettings, listener: socket.socket, parts: list[Share]) -> None:
        self._settings = settings
        self._listener = listener
        self._shares = parts
        self._memory = shared_memory()
        self._board = Board(self._memory, len(parts))
        self._slots: list[_Slot] = []
        self._stop = threading.Event()

    def stop_on_signals(self) -> None:
        """From here on SIGTERM, SIGINT and SIGHUP end the server gently, a second SIGINT at once."""

        def stop(number: int, _frame: FrameType | None) -> None:
            if self._stop.is_set() and number == signal.SIGINT:
                for slot in self._slots:
                    slot.child.process.kill()
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(signal.SIGHUP, stop)

    def start(self) -> bool:
        """Start the workers, the first one alone: a model that can't be loaded is told once. False: stopped.

        Raises:
            ServerError: a worker ended before it was ready; the message is the worker's.
        """
        for number, share in enumerate(self._shares):
            row = self._board.rows[number]
            self._slots.append(_Slot(number, share, row, *self._new(number, share), time.monotonic()))
            if number == 0 and not self._until_ready():
                return False
        return self._until_ready()

    def watch(self) -> None:
        """Let the workers take connections, and replace those that die, until a signal.

        Raises:
            ServerError: one keeps dying.
        """
        self._board.listening = True
        while not self._stop.wait(_LOOK_EVERY_S):
            for slot in self._slots:
                self._look_after(slot)

    def close(self) -> None:
        """Let every worker answer what was accepted, all at the same time; on return none is left.

        The socket is let go here first: the last worker that closes it ends it.
        """
        self._listener.close()
        living = [slot for slot in self._slots if slot.child.returncode() is None]
        for slot in living:
            os.kill(slot.child.pid, signal.SIGTERM)
        ends_s = time.monotonic() + _GRACE_S
        for slot in self._slots:
            if (
                slot.child.stop(max(0.1, ends_s - time.monotonic())) not in (0, -signal.SIGTERM)
                and slot in living
            ):
                say(f"worker {slot.number} did not end well: {_words(slot)}")
            os.close(slot.report)
        os.close(self._memory)

    def _new(self, number: int, share: Share) -> tuple[procs.Child, int]:
        report, its_end = os.pipe()
        os.set_blocking(report, False)
        settings = replace(self._settings, processes=1, cpus=share.cores, threads=share.threads)
        descriptors = (self._listener.fileno(), self._memory, its_end)
        args = worker_args(settings, descriptors, len(self._shares), number)
        try:
            # Its output is this process's own: what user code prints, and tracebacks, stay in one place.
            return procs.start(args, log=None, pass_fds=descriptors), report
        finally:
            os.close(its_end)

    def _until_ready(self) -> bool:
        while not all(slot.row.ready for slot in self._slots):
            for slot in self._slots:
                if slot.child.returncode() is not None:
                    raise ServerError(_words(slot))
            if self._stop.wait(_LOOK_EVERY_S):
                return False
        return True

    def _look_after(self, slot: _Slot) -> None:
        now_s = time.monotonic()
        if slot.again_s is not None:
            if now_s >= slot.again_s:
                self._start_again(slot)
        elif slot.child.returncode() is not None:
            self._bury(slot, now_s)

    def _bury(self, slot: _Slot, now_s: float) -> None:
        slot.child.stop()  # takes what it had started along
        slot.row.end()
        slot.deaths = 1 if now_s - slot.started_s > _STABLE_S else slot.deaths + 1
        words = _words(slot)
        os.close(slot.report)
        slot.report = os.open(os.devnull, os.O_RDONLY)
        if slot.deaths >= _MOST_DEATHS:
            raise ServerError(f"worker {slot.number} died {slot.deaths} times in a row, at last: {words}")
        pause_s = 0.0 if slot.deaths == 1 else _FIRST_PAUSE_S * 2 ** (slot.deaths - 1)
        slot.again_s = now_s + pause_s
        say(f"worker {slot.number} died and is started again in {pause_s:g} s: {words}")

    def _start_again(self, slot: _Slot) -> None:
        os.close(slot.report)
        slot.child, slot.report = self._new(slot.number, slot.share)
        slot.started_s, slot.again_s = time.monotonic(), None
        self._board.restarts += 1


def serve_processes(settings: ServeSettings, listener: socket.socket, listen: Callable[[], None]) -> None:
    """Serve with several processes until SIGTERM or SIGINT; `listen` is called when all are warm.

    Raises:
        ServerError: a worker can't be started, or keeps dying.
    """
    cores = by_neighbours(settings.cpus or usable_cores())
    parts = shares(cores, settings.processes, settings.workers, settings.threads)
    if len(cores) < len(parts):
        say(f"{len(parts)} processes share {len(cores)} cores: none has one of its own")
    supervisor = Supervisor(settings, listener, parts)
    supervisor.stop_on_signals()
    started_s = time.perf_counter()
    try:
        if supervisor.start():
            say(f"{len(parts)} processes ready in {time.perf_counter() - started_s:.2f} s")
            listen()
            supervisor.watch()
    finally:
        supervisor.close()
    say("stopped")


def _words(slot: _Slot) -> str:
    """Return the error that the worker reported, whole, or else how it ended."""
    with suppress(BlockingIOError):
        if message := os.read(slot.report, MOST_REPORT_BYTES).decode(errors="replace"):
            return message
    code = slot.child.returncode()
    if code is not None and code < 0:
        known = {int(each): each.name for each in signal.Signals}
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"it was ended by {known.get(-code, f'signal {-code}')}{hint}"
    return f"it ended with exit code {code}; what it said stands above"
