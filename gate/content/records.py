"""Content: what stands at a path, as the gate sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

Kind = Literal["model", "artifact", "server folder", "saved run"]


@dataclass(frozen=True)
class Content:
    """A model, an artifact, a server folder or a saved run, read once.

    digest: BLAKE2b-256 of what its server makes of its files; neither names of folders nor times are in it.
    detail: what it is, in words.
    files: every file that its server reads, by its place in a copy of all of them.
    served: the place in such a copy that `dyno serve` is given (a folder, or a file).
    """

    kind: Kind
    path: Path
    digest: str
    detail: str
    files: tuple[tuple[PurePosixPath, Path], ...]
    served: PurePosixPath

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for _, path in self.files)
