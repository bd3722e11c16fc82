"""How the standing generator and whoever started it talk: orders and answers over a pair of sockets.

An order is a line of JSON, and so is `cut`, which ends the block under way. An answer is a line of JSON and,
where it says how many, the counted latencies behind it, 8 bytes each. Data, never code.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np

from modeldyno.loadgen.standing.blocks import BlockOrder, BlockTaken

FD_VARIABLE = "DYNO_LOAD_STANDING"
"""Names the descriptor of the child's socket."""
CUT = b"cut\n"
BYTES_PER_INT = 8
_READ_BYTES = 1 << 20
_CLOSED = "the other side has closed"


@dataclass(frozen=True)
class Ready:
    """The users are there."""


@dataclass(frozen=True)
class Failed:
    """The block could not be taken."""

    why: str


Answer: TypeAlias = Ready | Failed | BlockTaken


class Channel:
    """One end of the pair. Reading waits as long as the socket's timeout says."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._buffer = bytearray()

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            EOFError: the other side has closed.
        """
        try:
            self.socket.sendall(data)
        except ConnectionError as error:
            raise EOFError(_CLOSED) from error

    def line(self) -> bytes:
        """Take a line, with its end.

        Raises:
            EOFError: the other side has closed.
            TimeoutError: nothing came in time; what has come so far is kept.
        """
        while (place := self._buffer.find(b"\n")) < 0:
            self._more()
        return self._take(place + 1)

    def answer(self) -> Answer:
        """Take an answer; raises as `line` does."""
        while (place := self._buffer.find(b"\n")) < 0:
            self._more()
        fields = json.loads(self._buffer[:place])
        size = place + 1 + BYTES_PER_INT * fields.get("counted", 0)
        while len(self._buffer) < size:
            self._more()
        return _answer(fields, self._take(size)[place + 1 :])

    def _more(self) -> None:
        try:
            data = self.socket.recv(_READ_BYTES)
        except ConnectionError as error:  # it ended before it had read all
            raise EOFError(_CLOSED) from error
        if not data:
            raise EOFError(_CLOSED)
        self._buffer += data

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def order_line(order: BlockOrder) -> bytes:
    """Write an order."""
    return json.dumps(asdict(order)).encode() + b"\n"


def read_order(line: bytes) -> BlockOrder:
    """Read what `order_line` wrote."""
    fields = json.loads(line)
    return BlockOrder(**{**fields, "cpus": tuple(fields["cpus"])})


def answer_bytes(answer: Answer) -> bytes:
    """Write an answer."""
    if isinstance(answer, Ready):
        return b'{"ready": true}\n'
    if isinstance(answer, Failed):
        return json.dumps({"failed": answer.why}).encode() + b"\n"
    fields = {name: value for name, value in vars(answer).items() if name != "latency_us"}
    head = json.dumps({"counted": len(answer.latency_us), "taken": fields})
    return head.encode() + b"\n" + answer.latency_us.astype(np.int64).tobytes()


def _answer(fields: dict[str, object], behind: bytes) -> Answer:
    if "ready" in fields:
        return Ready()
    if "failed" in fields:
        return Failed(str(fields["failed"]))
    taken = fields["taken"]
    assert isinstance(taken, dict)  # noqa: S101 - as answer_bytes wrote it
    return BlockTaken(latency_us=np.frombuffer(behind, np.int64), **taken)
