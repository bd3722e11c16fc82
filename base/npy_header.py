"""The header of an `.npy` file, read before any of its data."""

from __future__ import annotations

from typing import IO, Any

import numpy as np

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read magic and header; give shape, whether columns come first (Fortran's order), and dtype.

    Raises:
        ValueError: it is no header of version 1 or 2. numpy raises other kinds too: a header is a literal.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"npy version {version[0]}.{version[1]} is not known")
    return _READERS[version](stream)
