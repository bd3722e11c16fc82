"""A server with one place and a known service time: python -m benchmarks.queue_server PORT_FILE [options].

Each answer is sent at the moment at which a server that takes requests one after the other would be through
with it: departure = max(arrival, departure of the one before) + service. Nothing is computed meanwhile, so
its cost does not add to the service time; what it does add (reading, sleeping, writing) is under a
millisecond.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import selectors
import time
from collections.abc import Iterator
from pathlib import Path

from dyno.files import write_text
from dyno.procs import end_with_parent

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def services(service_s: float, *, fixed: bool, seed: int) -> Iterator[float]:
    """Service times, in order of arrival: all the same, or seeded exponential ones."""
    # A stream of its own: the same seed draws the arrivals, and no service may depend on the gap before it.
    draw = random.Random(f"service {seed}")  # noqa: S311 - to be repeated, no secret
    while True:
        yield service_s if fixed else draw.expovariate(1 / service_s)


class OnePlace:
    """The queue; times are seconds of the event loop's clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._services = services(options.service_ms / 1000, fixed=options.fixed, seed=options.seed)
        self._stall = (options.stall_at_s, options.stall_at_s + options.stall_s)
        self._first: float | None = None
        self._free = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0].strip()
                await reader.readexactly(int(length or b"0"))
                await self._wait()
                writer.write(ANSWER)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _wait(self) -> None:
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        begin = max(now, self._free)
        if self._stall[0] <= begin - self._first < self._stall[1]:
            begin = self._first + self._stall[1]
        self._free = begin + next(self._services)
        await asyncio.sleep(self._free - time.monotonic())


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
    options = parser.parse_args()
    # epoll sleeps in whole milliseconds, select in microseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    place = OnePlace(options)
    server = loop.run_until_complete(asyncio.start_server(place.serve, "127.0.0.1", 0))
    write_text(options.port_file, str(server.sockets[0].getsockname()[1]))
    loop.run_forever()


if __name__ == "__main__":
    main()
