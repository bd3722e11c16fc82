"""CRCs that the standard library has not: CRC-32C and CRC-64/NVME, at tens of MB a second.

Long pieces are cut into lanes that numpy steps through together. Then the registers of the lanes are joined,
as a CRC is linear: its register after n zero bytes is a matrix times the register before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

LANES = 1024
_SHORT = 16 * 1024  # bytes below which a loop over bytes is as fast


@dataclass(frozen=True)
class Polynomial:
    """A reflected CRC that begins with all ones and is inverted at the end."""

    bits: int
    reflected: int


CRC32C = Polynomial(32, 0x82F63B78)
CRC64NVME = Polynomial(64, 0x9A6C9329AC4BC9B5)


class Crc:
    """One CRC, fed piece by piece."""

    def __init__(self, polynomial: Polynomial) -> None:
        self._polynomial = polynomial
        self._register = (1 << polynomial.bits) - 1

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        if len(piece) < _SHORT:
            self._register = _bytewise(self._polynomial, self._register, piece)
            return
        steps = len(piece) // LANES
        self._register = _in_lanes(self._polynomial, self._register, piece[: steps * LANES], steps)
        self._register = _bytewise(self._polynomial, self._register, piece[steps * LANES :])

    def digest(self) -> bytes:
        """Give the value, big endian."""
        width = self._polynomial.bits
        return (self._register ^ ((1 << width) - 1)).to_bytes(width // 8, "big")


def _bytewise(polynomial: Polynomial, register: int, piece: bytes) -> int:
    table = _table(polynomial)[1]
    for each in piece:
        register = table[(register ^ each) & 0xFF] ^ (register >> 8)
    return register


def _in_lanes(polynomial: Polynomial, register: int, piece: bytes, steps: int) -> int:
    kind = _kind(polynomial)
    columns = np.frombuffer(piece, np.uint8).reshape(LANES, steps).T.astype(kind)
    registers = np.zeros(LANES, kind)
    registers[0] = register
    registers = _stepped(polynomial, registers, columns)
    shift = _shift_tables(polynomial, steps)
    joined = int(registers[0])
    for each in registers[1:].tolist():
        joined = _shifted(shift, joined) ^ each
    return joined


def _stepped(polynomial: Polynomial, registers: Any, columns: Any) -> Any:
    table, eight, low = _table(polynomial)[0], _kind(polynomial)(8), _kind(polynomial)(0xFF)
    for column in columns:
        registers = table[(registers ^ column) & low] ^ (registers >> eight)
    return registers


def _shifted(tables: list[list[int]], register: int) -> int:
    found = 0
    for table in tables:
        found ^= table[register & 0xFF]
        register >>= 8
    return found


@lru_cache(maxsize=8)
def _shift_tables(polynomial: Polynomial, steps: int) -> list[list[int]]:
    """What a register becomes over so many zero bytes: a table for each of its bytes."""
    kind, width = _kind(polynomial), polynomial.bits
    values = np.arange(256, dtype=kind)
    starts = np.concatenate([values << kind(8 * place) for place in range(width // 8)])
    after = _stepped(polynomial, starts, np.zeros((steps, 1), kind))
    return [list(map(int, each)) for each in after.reshape(width // 8, 256)]


@lru_cache(maxsize=2)
def _table(polynomial: Polynomial) -> tuple[Any, list[int]]:
    table = []
    for value in range(256):
        register = value
        for _ in range(8):
            register = (register >> 1) ^ (polynomial.reflected if register & 1 else 0)
        table.append(register)
    return np.array(table, _kind(polynomial)), table


def _kind(polynomial: Polynomial) -> Any:
    return np.uint64 if polynomial.bits == 64 else np.uint32
