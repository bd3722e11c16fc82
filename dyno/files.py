"""Writing that never leaves half a file: a temporary name beside the goal, then one rename.

What writing needs is imported where it is needed: who only runs a model reads records, and starts sooner.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dyno.errors import OutputError


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


@contextmanager
def staged_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream that becomes `path` when the block ends well, and vanishes when it does not.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
    """
    import tempfile

    with mapped_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the block ends well, and vanishes when it does not.

    What stood at `path` before is replaced only then.

    Raises:
        OutputError: the disk is full, or the folder can't be written.
    """
    import shutil
    import tempfile

    with mapped_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield stage
        with mapped_output_errors(path):
            stage.chmod(0o755)
            _swap(stage, path)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


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
