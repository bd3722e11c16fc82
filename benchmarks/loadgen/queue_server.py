"""A server with one place and a known service time.

    python -m benchmarks.loadgen.queue_server PORT_FILE [options]


Each answer is sent at the moment at which a server that takes requests one after the other would be through
with it: departure = max(arrival, departure of the one before) + service. Nothing is computed meanwhile, so
its cost does not add to the service time. It sleeps until shortly before a departure and passes the rest
polling, so that answers leave on time. GET /log has, of each request by this server's own clock, when it
came, when its service was over and when its answer was sent: what the server does to a figure, and what the
generator does, can be told apart.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import selectors
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from modeldyno.base.files import write_text
from modeldyno.base.process.procs import end_with_parent

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
ANSWER = HEAD % (2, b"{}")
NS_PER_S = 1_000_000_000
SPIN_NS = 300_000
_PR_SET_TIMERSLACK = 29


def services(service_s: float, *, fixed: bool, seed: int) -> Iterator[float]:
    """Service times, in order of arrival: all the same, or seeded exponential ones."""
    # A stream of its own: the same seed draws the arrivals, and no service may depend on the gap before it.
    draw = random.Random(f"service {seed}")  # noqa: S311 - to be repeated, no secret
    while True:
        yield service_s if fixed else draw.expovariate(1 / service_s)


class OnePlace:
    """The queue; times are time.monotonic_ns."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._services = services(options.service_ms / 1000, fixed=options.fixed, seed=options.seed)
        self._stall = (options.stall_at_s, options.stall_at_s + options.stall_s)
        self._first = self._free = 0
        self.log = array("q")
        """Of each answered request: when it had come, when its service was over, when its answer was sent."""

    def departure(self, arrival_ns: int) -> int:
        """When the service of a request that arrives now is over."""
        self._first = self._first or arrival_ns
        begin = max(arrival_ns, self._free)
        if self._stall[0] <= (begin - self._first) / NS_PER_S < self._stall[1]:
            begin = self._first + int(self._stall[1] * NS_PER_S)
        self._free = begin + int(next(self._services) * NS_PER_S)
        return self._free

    def answered(self, arrival_ns: int, due_ns: int) -> None:
        """Note a request whose answer is about to be sent."""
        self.log.extend((arrival_ns, due_ns, time.monotonic_ns()))


@dataclass
class Connection:
    """One client."""

    socket: socket.socket
    text: bytearray = field(default_factory=bytearray)

    def requests(self) -> Iterator[bytes]:
        """Take whole requests out of what has come; give their heads."""
        while (end := self.text.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.text[:end]).lower()
            length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0].strip()
            whole = end + 4 + int(length or b"0")
            if len(self.text) < whole:
                return
            del self.text[:whole]
            yield head


class Server:
    """All connections in one thread."""

    def __init__(self, place: OnePlace, *, timed: bool) -> None:
        self._place = place
        self._waiting: deque[tuple[int, int, Connection]] = deque()
        # epoll sleeps in whole milliseconds, select in microseconds; where nothing waits, epoll is faster.
        self._selector = selectors.SelectSelector() if timed else selectors.DefaultSelector()
        self._door = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._door.setblocking(False)
        self._selector.register(self._door, selectors.EVENT_READ)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._door.getsockname()[1])

    def run(self) -> None:
        """Serve until the process ends."""
        while True:
            for key, _ in self._selector.select(self._sleep_s()):
                if key.fileobj is self._door:
                    self._welcome()
                else:
                    self._read(key.data)
            while self._waiting and time.monotonic_ns() >= self._waiting[0][1]:
                self._answer(*self._waiting.popleft())

    def _sleep_s(self) -> float | None:
        """Until shortly before the next departure; after that, no time: only what has come is read."""
        if not self._waiting:
            return None
        return max(0.0, (self._waiting[0][1] - time.monotonic_ns() - SPIN_NS) / NS_PER_S)

    def _welcome(self) -> None:
        client, _ = self._door.accept()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(client, selectors.EVENT_READ, Connection(client))

    def _read(self, connection: Connection) -> None:
        try:
            found = connection.socket.recv(65536)
        except ConnectionError:
            found = b""
        if not found:
            self._selector.unregister(connection.socket)
            connection.socket.close()
            return
        now_ns = time.monotonic_ns()
        connection.text += found
        for head in connection.requests():
            if head.startswith(b"get /log "):
                log = self._place.log.tobytes()
                connection.socket.setblocking(True)
                connection.socket.sendall(HEAD % (len(log), log))
            else:
                self._waiting.append((now_ns, self._place.departure(now_ns), connection))

    def _answer(self, arrival_ns: int, due_ns: int, connection: Connection) -> None:
        self._place.answered(arrival_ns, due_ns)
        with suppress(OSError):  # the client has gone
            connection.socket.sendall(ANSWER)


def main() -> None:
    """Serve until the parent ends this process; the port is written to PORT_FILE."""
    end_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("port_file", type=Path)
    parser.add_argument("--service-ms", type=float, default=5.0)
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stall-at-s", type=float, default=-1.0, help="after the first request")
    parser.add_argument("--stall-s", type=float, default=0.0)
    parser.add_argument("--cpu", type=int, help="the core to run on")
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    server = Server(OnePlace(options), timed=options.service_ms > 0)
    write_text(options.port_file, str(server.port))
    server.run()


if __name__ == "__main__":
    main()
