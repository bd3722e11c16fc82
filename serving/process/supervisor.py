"""Several worker processes behind one listening socket: `dyno serve --processes N`.

This process binds the address and runs no model. Each worker (`worker`) inherits the socket and, once all are
warm, takes connections from it (`acceptor`). A worker that dies takes only its own requests along, which are
named, and is started again: at once if it had been ready and did not die often of late, else after a pause
that grows. The server ends when no worker is left and none can be started: the model does not load. One whose
event loop stands still for longer than a worker may hang is killed first.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from modeldyno.base.command.console import say
from modeldyno.base.errors import ServerError
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.process import procs
from modeldyno.serving.dispatch.hang import hung_after_s
from modeldyno.serving.meters.board import Board, shared_memory
from modeldyno.serving.process.keeper import Borrower, Keeper
from modeldyno.serving.process.launch import worker_args
from modeldyno.serving.process.shares import Share, by_neighbours, shares
from modeldyno.serving.process.slot import Slot
from modeldyno.serving.settings import ServeSettings

_LOOK_EVERY_S = 0.05
_GRACE_S = 40.0  # longer than a worker's own drain
_MOST_FAILED_STARTS = 5  # in a row, of each worker


class Supervisor:
    """Keeps a worker for each of `shares` on `listener` until a signal."""

    def __init__(self, settings: ServeSettings, listener: socket.socket, parts: list[Share]) -> None:
        self._settings = settings
        self._listener = listener
        self._shares = parts
        self._memory = shared_memory()
        self._board = Board(self._memory, len(parts))
        self._keeper = Keeper(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._slots: list[Slot] = []
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
            self._slots.append(Slot(number, share, row, *self._new(number, share)))
            if number == 0 and not self._until_ready():
                return False
        return self._until_ready()

    def watch(self) -> None:
        """Let the workers take connections, and replace those that die, until a signal.

        Raises:
            ServerError: none is left and none can be started.
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
        ends_s = time.monotonic() + self._settings.drain_delay_s + _GRACE_S
        for slot in self._slots:
            if (
                slot.child.stop(max(0.1, ends_s - time.monotonic())) not in (0, -signal.SIGTERM)
                and slot in living
            ):
                say(f"worker {slot.number} did not end well: {slot.ending()}")
            self._keeper.bury(slot.borrower, None)
            os.close(slot.report)
        os.close(self._memory)

    def _new(self, number: int, share: Share) -> tuple[procs.Child, int, Borrower]:
        report, its_end = os.pipe()
        os.set_blocking(report, False)
        settings = replace(self._settings, processes=1, cpus=share.cores, threads=share.threads)
        borrower, channel = self._keeper.borrow(self._board.lent[number])
        descriptors = (self._listener.fileno(), self._memory, its_end, channel.fileno())
        args = worker_args(settings, descriptors, len(self._shares), number)
        try:
            # Its output is this process's own: what user code prints, and tracebacks, stay in one place.
            return procs.start(args, log=None, pass_fds=descriptors), report, borrower
        finally:
            channel.close()
            os.close(its_end)

    def _until_ready(self) -> bool:
        while not all(slot.row.ready for slot in self._slots):
            for slot in self._slots:
                if slot.child.returncode() is not None:
                    raise ServerError(slot.ending())
            if self._stop.wait(_LOOK_EVERY_S):
                return False
        return True

    def _look_after(self, slot: Slot) -> None:
        now_s = time.monotonic()
        if slot.again_s is not None:
            if now_s >= slot.again_s:
                self._start_again(slot)
        elif slot.child.returncode() is not None:
            self._bury(slot, now_s)
        elif slot.row.ready:
            slot.was_ready, slot.failed_starts = True, 0
            self._listen_to(slot)

    def _listen_to(self, slot: Slot) -> None:
        """Kill a worker whose event loop stands still, which is when code holds the interpreter's lock.

        The time is counted in looks, so that one is not killed after this process stood still itself.
        """
        slot.silent_s = 0.0 if slot.row.beats != slot.beats else slot.silent_s + _LOOK_EVERY_S
        slot.beats = slot.row.beats
        timeout_ms = self._settings.timeout_ms
        if (
            timeout_ms is not None
            and not slot.stood_still
            and slot.silent_s > hung_after_s(timeout_ms / 1000)
        ):
            say(f"worker {slot.number} has been standing still for {slot.silent_s:.1f} s: it is killed")
            slot.child.process.kill()
            slot.stood_still = True

    def _bury(self, slot: Slot, now_s: float) -> None:
        was_ready = slot.was_ready or slot.row.ready
        slot.child.stop()  # takes what it had started along
        slot.row.end()
        notes = self._board.notes[slot.number].take()
        words = slot.ending() + "".join(f"\n  it was running {note}" for note in notes)
        # Who kills it from outside has reasons that are not the requests': their clients see a broken
        # connection, and may send them again.
        killed = slot.child.returncode() == -signal.SIGKILL and not slot.stood_still
        running = None if killed else {note.connection for note in notes}
        for status in self._keeper.bury(slot.borrower, running):
            slot.row.count_answer(status)
        os.close(slot.report)
        slot.report = os.open(os.devnull, os.O_RDONLY)
        slot.was_ready, slot.stood_still, slot.silent_s = False, False, 0.0
        slot.failed_starts = 0 if was_ready else slot.failed_starts + 1
        if was_ready:
            slot.deaths_s.append(now_s)
        if all(each.failed_starts >= _MOST_FAILED_STARTS for each in self._slots):
            raise ServerError(
                f"no worker can be started: worker {slot.number} died {slot.failed_starts} times in a row "
                f"before it was ready, at last: {words}"
            )
        others_serve = any(other.row.ready for other in self._slots)
        pause_s = slot.pause_s(now_s, others_serve=others_serve)
        slot.again_s = now_s + pause_s
        say(f"worker {slot.number} died and is started again in {pause_s:g} s: {words}")

    def _start_again(self, slot: Slot) -> None:
        os.close(slot.report)
        slot.child, slot.report, slot.borrower = self._new(slot.number, slot.share)
        slot.again_s = None
        self._board.restarts += 1


def serve_processes(settings: ServeSettings, listener: socket.socket, listen: Callable[[], None]) -> None:
    """Serve with several processes until SIGTERM or SIGINT; `listen` is called when all are warm.

    Raises:
        ServerError: no worker can be started.
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
