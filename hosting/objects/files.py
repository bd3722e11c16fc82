"""Bodies of objects as files under names of ours: a key is never part of a path, so `d` and `d/e` coexist."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PIECE = 256 * 1024
RESERVE_BYTES = 4 * 1024 * 1024  # left to the state, so that what is there can be deleted on a full disk


class Files:
    """A folder of bodies. A body is written under a temporary name, and renamed when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._kept = folder / "kept"
        self._incoming = folder / "incoming"
        for each in (self._kept, self._incoming):
            each.mkdir(parents=True, exist_ok=True)

    def sweep(self, known: set[str]) -> None:
        """Delete what no row names: left by a process that was killed."""
        for path in [*self._incoming.iterdir(), *self._kept.glob("*/*")]:
            if path.parent == self._incoming or path.name not in known:
                path.unlink(missing_ok=True)

    def new(self) -> tuple[str, BinaryIO]:
        """Open a new temporary file; gives its name."""
        name = uuid.uuid4().hex
        return name, (self._incoming / name).open("wb", buffering=0)

    def check_room(self, size: int) -> None:
        """Raise OSError ENOSPC where so many bytes more would fill the disk."""
        disk = os.statvfs(self._incoming)
        if disk.f_bavail * disk.f_frsize < size + RESERVE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def keep(self, name: str) -> None:
        """Give a whole file its place."""
        target = self._path(name)
        target.parent.mkdir(exist_ok=True)
        (self._incoming / name).rename(target)

    def drop(self, name: str) -> None:
        """Delete a temporary file."""
        (self._incoming / name).unlink(missing_ok=True)

    def remove(self, *names: str) -> None:
        """Delete kept files; who reads one goes on reading."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def open(self, name: str) -> int:
        """Open a kept file for reading. Raises FileNotFoundError where it was replaced meanwhile."""
        return os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)

    def _path(self, name: str) -> Path:
        return self._kept / name[:2] / name


class Span:
    """A part of an open file, read piece by piece. It closes the file at its end, or where it is closed."""

    def __init__(self, descriptor: int, start: int, length: int) -> None:
        self._descriptor: int | None = descriptor
        self._at, self._left = start, length

    def __iter__(self) -> Iterator[bytes]:
        """Give itself."""
        return self

    def __next__(self) -> bytes:
        """Give the next piece."""
        piece = b""
        if self._descriptor is not None and self._left:
            piece = os.pread(self._descriptor, min(PIECE, self._left), self._at)
        if not piece:
            self.close()
            raise StopIteration
        self._at, self._left = self._at + len(piece), self._left - len(piece)
        return piece

    def part(self, start: int, length: int) -> Span:
        """Give itself, for a part of the file."""
        self._at, self._left = start, length
        return self

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        """Close the file."""
        self.close()
