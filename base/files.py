"""Writing that never leaves half a file: a temporary name beside the goal, then one rename.

A rename takes away what stood there. So it is done onto regular files and our own folders alone: links are
followed, and devices, pipes and sockets are written to as they are, when all that is to be written is there.

What writing needs is imported where it is needed: who only runs a model reads records, and starts sooner.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from modeldyno.base.errors import OutputError

STDOUT = Path("-")
"""Stands for stdout where a file is written; a file of that name is ./- (see base.command.outputs)."""
_MOST_LINKS = 40  # as many as Linux follows
_DESCRIPTORS = ("/proc/", "/dev/fd/")  # links of the system's own: to descriptors, not to names


@contextmanager
def mapped_output_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about writing to `path` into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` whole or not at all; the folder is made when missing.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` whole or not at all; the folder is made when missing.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
    """
    with staged_file(path) as stream:
        stream.write(data)


def nearest_folder(path: Path) -> Path:
    """Give the folder of `path` that exists; what is missing between the two would be made in it."""
    return next(folder for folder in path.absolute().parents if folder.exists())


@contextmanager
def staged_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream that becomes `path` when the block ends well, and vanishes when it does not.

    A link stays, and what it leads to is written. What is no regular file stays too, and gets the content.
    The stream can be sought in either case. STDOUT gets the content when all of it is there.

    Raises:
        OutputError: the disk is full, the folder can't be written, or `path` is one.
    """
    import tempfile

    if path == STDOUT:
        with tempfile.TemporaryFile() as content:
            yield content
            _print(content)
        return
    with mapped_output_errors(path):
        goal = _renamed_onto(path)
        if goal is None:
            with tempfile.TemporaryFile() as content:
                yield content
                _write_through(content, path)
            return
        goal.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(stat.S_IMODE(goal.stat().st_mode) if goal.exists() else 0o644)
            _take_place(temporary, goal)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _renamed_onto(path: Path) -> Path | None:
    """Give the name that a rename may take: a regular file's, or a free one. None: write through `path`.

    Raises:
        OSError: it is a folder, or a link to itself.
    """
    goal = path
    for _ in range(_MOST_LINKS):
        if not goal.is_symlink():
            break
        goal = goal.parent / goal.readlink()
        if os.path.normpath(goal.absolute()).startswith(_DESCRIPTORS):
            return None
    mode = _mode(goal)  # raises ELOOP where it still is a link
    if mode is None or stat.S_ISREG(mode):
        return goal
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return None


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _take_place(temporary: Path, goal: Path) -> None:
    try:
        temporary.replace(goal)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A file that is mounted by itself (into a container, say) can't be replaced, but written.
        with temporary.open("rb") as content:
            _write_through(content, goal)
        temporary.unlink()


def _print(content: BinaryIO) -> None:
    import shutil
    import sys

    content.seek(0)
    sys.stdout.flush()
    shutil.copyfileobj(content, sys.stdout.buffer)
    sys.stdout.flush()


def _write_through(content: BinaryIO, path: Path) -> None:
    import shutil

    content.seek(0)
    with path.open("wb", buffering=0) as stream:
        shutil.copyfileobj(content, stream)


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the block ends well, and vanishes when it does not.

    What stood at `path` before is replaced only then; of a link, what it leads to.

    Raises:
        OutputError: the disk is full, the folder can't be written, or `path` is something else than a folder.
    """
    import shutil
    import tempfile

    with mapped_output_errors(path):
        goal = folder_goal(path)
        goal.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=goal.parent, prefix=f".{goal.name}."))
    try:
        yield stage
        with mapped_output_errors(path):
            stage.chmod(0o755)
            _swap(stage, goal)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def folder_goal(path: Path) -> Path:
    """Give the folder that `path` names, whether it is there yet or not: links are followed.

    Raises:
        OSError: something else than a folder is there, or one that other file systems are mounted on.
    """
    goal = path.resolve()
    mode = _mode(goal)
    if mode is not None and not stat.S_ISDIR(mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is there, and no folder")
    if mode is not None and goal.is_mount():
        raise OSError(errno.EBUSY, "it is a mount point, which can't be replaced: name a folder in it")
    return goal


def _swap(stage: Path, path: Path) -> None:
    if not path.exists():
        stage.rename(path)
        return
    import shutil
    import tempfile

    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    path.rename(old / path.name)
    try:
        stage.rename(path)
    except OSError:
        (old / path.name).rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
