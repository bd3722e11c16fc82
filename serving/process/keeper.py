"""Answers for a worker process that died: its parent holds a second descriptor of each of its connections.

A worker lends each connection that it takes (`web.lending`). When it dies the parent answers those in which a
whole request waits for the first byte of its answer.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from modeldyno.serving.web.heads import PROBE, last_answer
from modeldyno.serving.web.lending import IDLE, PROBED, SUPPORTED

_MOST_UNREAD_BYTES = 1 << 20
_SPARE_DESCRIPTORS = 64
_ENDED = "the worker process that ran this request ended: the server's log names it"
_AGAIN = "the worker process that had this request ended before its answer: try again"


@dataclass(frozen=True)
class Borrower:
    """What the parent has of one worker: its side of the channel, and the connections by their numbers."""

    channel: socket.socket
    cells: memoryview
    held: dict[int, int] = field(default_factory=dict)


class Keeper:
    """The parent's side, in a thread that sleeps but when connections begin or end."""

    def __init__(self, most: int) -> None:
        self._most = most - _SPARE_DESCRIPTORS
        self._lock = threading.Lock()
        self._borrowers: dict[int, Borrower] = {}
        self._owner: dict[int, tuple[Borrower, int]] = {}
        if not SUPPORTED:
            return
        self._poll = select.epoll()
        threading.Thread(target=self._work, name="keeper", daemon=True).start()

    def borrow(self, cells: memoryview) -> tuple[Borrower, socket.socket]:
        """Begin with a new worker; returns its side of the channel, to be closed here once it is started."""
        ours, its = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET if SUPPORTED else socket.SOCK_STREAM
        )
        ours.setblocking(False)
        cells[:] = bytes(len(cells))
        borrower = Borrower(ours, cells)
        with self._lock:
            self._borrowers[ours.fileno()] = borrower
            if SUPPORTED:
                self._poll.register(ours.fileno(), select.EPOLLIN)
        return borrower, its

    def bury(self, borrower: Borrower, running: set[int] | None) -> list[int]:
        """Answer what a dead worker left, and close its connections; returns the statuses of the answers.

        `running` are the numbers of the connections whose requests it was running; None: answer nothing.
        """
        with self._lock:
            if borrower.channel.fileno() < 0:
                return []
            with suppress(EOFError):
                while self._take(borrower):
                    pass
            self._drop(borrower)
            statuses = []
            for number, descriptor in borrower.held.items():
                state = borrower.cells[number]
                if running is not None and state != IDLE:
                    status = 502 if number in running else 503
                    if _answer(descriptor, status, probed=state == PROBED):
                        statuses.append(status)
                self._owner.pop(descriptor, None)
                os.close(descriptor)
            borrower.held.clear()
            return statuses

    def _work(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                with self._lock:
                    if descriptor in self._borrowers:
                        self._borrow_or_drop(self._borrowers[descriptor])
                    elif descriptor in self._owner and _has_ended(descriptor):
                        borrower, number = self._owner.pop(descriptor)
                        del borrower.held[number]
                        os.close(descriptor)

    def _borrow_or_drop(self, borrower: Borrower) -> None:
        try:
            while self._take(borrower):
                pass
        except EOFError:  # the worker has ended: its burial comes
            self._poll.unregister(borrower.channel.fileno())

    def _take(self, borrower: Borrower) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(borrower.channel, 2, 1)
        except BlockingIOError:
            return False
        except OSError as error:
            raise EOFError from error
        if not message:
            raise EOFError
        if not descriptors:  # no room for it here
            return True
        (descriptor,) = descriptors
        number = int.from_bytes(message, "little")
        if len(self._owner) >= self._most:
            os.close(descriptor)
            return True
        if (old := borrower.held.pop(number, None)) is not None:  # it has ended: that is not told yet
            del self._owner[old]
            os.close(old)
        borrower.held[number] = descriptor
        self._owner[descriptor] = borrower, number
        self._poll.register(descriptor, 0)  # the end of both directions is always told
        return True

    def _drop(self, borrower: Borrower) -> None:
        with suppress(OSError, AttributeError):  # told to end already; not SUPPORTED
            self._poll.unregister(borrower.channel.fileno())
        del self._borrowers[borrower.channel.fileno()]
        borrower.channel.close()


def _has_ended(descriptor: int) -> bool:
    """Ask again: since the system told it, the number may have become that of a new connection."""
    look = select.poll()
    look.register(descriptor, 0)
    return bool(look.poll(0))


def _answer(descriptor: int, status: int, *, probed: bool) -> bool:
    words = last_answer(status, _ENDED if status == 502 else _AGAIN)
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        connection.setblocking(False)
        try:
            connection.send(words.removeprefix(PROBE) if probed else words)
            connection.shutdown(socket.SHUT_WR)
            # With bytes unread the system would take the answer back.
            while len(connection.recv(_MOST_UNREAD_BYTES)) == _MOST_UNREAD_BYTES:
                pass
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True
