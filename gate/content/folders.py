"""A server folder: user code in the shape of SageMaker's toolkit, with all that lies beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from modeldyno.base.digests import digest_file
from modeldyno.gate.content.digests import digest_named
from modeldyno.gate.content.records import Content

LEFT_OUT = frozenset(("__pycache__", ".git", ".dyno"))
"""Folders that no server reads what it runs from; `.dyno` has the store itself."""


def folder_content(folder: Path) -> Content:
    """Read every file of a folder, also behind links. What is none (a socket, a dead link) is left out."""
    files = tuple(sorted(_files(folder, PurePosixPath(), frozenset())))
    return Content(
        kind="server folder",
        path=folder,
        digest=digest_named((str(name), digest_file(path)) for name, path in files),
        detail=f"server folder of {len(files)} file{'s' if len(files) > 1 else ''}",
        files=files,
        served=PurePosixPath(),
    )


def _files(
    folder: Path, place: PurePosixPath, above: frozenset[Path]
) -> Iterator[tuple[PurePosixPath, Path]]:
    real = folder.resolve()
    if real in above:  # a link to a folder that it lies in
        return
    for entry in os.scandir(folder):
        path, name = Path(entry.path), place / entry.name
        if path.is_dir():
            if entry.name not in LEFT_OUT:
                yield from _files(path, name, above | {real})
        elif path.is_file():
            yield name, path
