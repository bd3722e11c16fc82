"""BLAKE2b-256 of files: what artifacts and models are known by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

CHUNK_BYTES = 1 << 20


def digest_file(path: Path) -> str:
    """BLAKE2b-256 of a file, as hexadecimal text."""
    return digest_files([path])


def digest_files(paths: Iterable[Path]) -> str:
    """BLAKE2b-256 over the contents of files, in the order given, as hexadecimal text."""
    state = hashlib.blake2b(digest_size=32)
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                state.update(chunk)
    return state.hexdigest()
