"""Clients that have closed their sending side, and what the system knows of them (on Linux)."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

_CLOSE, _CLOSE_WAIT = 7, 8  # of the kernel's tcp_states.h; the first byte of its tcp_info


class Held:
    """The transport of a client that is done: the connection closes it, or else the clock in `within_s`."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, within_s: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._within_s = within_s
        self._sent = b""

    def begin(self, first: bytes) -> None:
        """Write the first bytes of an answer; they are left out of it when it comes."""
        self._sent = first
        self._transport.write(first)

    def write(self, data: bytes) -> None:
        """Write the next part of the answer."""
        self._transport.write(data.removeprefix(self._sent))
        self._sent = b""

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close it soon."""
        self._loop.call_later(self._within_s, self._transport.close)


def has_reset(transport: asyncio.Transport) -> bool:
    """Whether the client's system has refused what was sent: nobody reads there any more."""
    return _state(transport) == _CLOSE


def has_ended(transport: asyncio.Transport) -> bool:
    """Whether the client has closed its sending side, even if not all that it sent is read."""
    return _state(transport) == _CLOSE_WAIT


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the client's system has not taken yet."""
    waiting = transport.get_write_buffer_size()
    found = transport.get_extra_info("socket")
    if transport.is_closing() or found is None or not hasattr(socket, "TCP_INFO"):
        return waiting
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, bytes(4)))
    except OSError:
        return waiting
    return waiting + int(queued)


def _state(transport: asyncio.Transport) -> int | None:
    found = transport.get_extra_info("socket")
    if transport.is_closing() or found is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        state: int = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return None
    return state
