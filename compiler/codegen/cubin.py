"""What is in a cubin, NVIDIA's ELF file with the machine code of one architecture."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_EM_CUDA = 190
_SYMBOL_TABLE, _GLOBAL_FUNCTION = 2, 0x12
# Symbols that the driver itself provides.
_OF_THE_DRIVER = ("vprintf", "malloc", "free", "__assertfail", ".nv.reservedSmem.offset0")


@dataclass(frozen=True)
class Cubin:
    """The architecture as NVIDIA counts it (80 for sm_80), the kernels' names, and what is not defined."""

    architecture: int
    kernels: frozenset[str]
    missing: frozenset[str]


def read_cubin(code: bytes) -> Cubin:
    """Read header and symbol table.

    Raises:
        ValueError: it is no cubin.
    """
    try:
        if code[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", code, 18)[0] != _EM_CUDA:
            raise ValueError("it is no cubin")
        version, flags = code[8], struct.unpack_from("<I", code, 48)[0]
        # CUDA 13 counts its files' version as 8, and has the architecture one byte higher than before.
        architecture = flags >> 8 & 0xFF if version >= 8 else flags & 0xFF
        defined, missing = _symbols(code)
    except (struct.error, IndexError) as error:
        raise ValueError("it is a cubin that ends too early") from error
    return Cubin(architecture, frozenset(defined), frozenset(missing.difference(_OF_THE_DRIVER)))


def _symbols(code: bytes) -> tuple[set[str], set[str]]:
    """Give the names of functions that the file holds, and names without a place."""
    start = struct.unpack_from("<Q", code, 40)[0]
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, start + number * size) for number in range(count)]
    kernels, missing = set(), set()
    for _, kind, _, _, offset, length, link, _, _, step in sections:
        if kind != _SYMBOL_TABLE:
            continue
        names, names_length = sections[link][4], sections[link][5]
        text = code[names : names + names_length]
        for place in range(offset, offset + length, step):
            at, info, _, section, _, _ = struct.unpack_from("<IBBHQQ", code, place)
            name = text[at : text.index(b"\0", at)].decode()
            if name and section == 0:
                missing.add(name)
            elif info == _GLOBAL_FUNCTION:
                kernels.add(name)
    return kernels, missing
