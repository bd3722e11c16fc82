"""Options that name what a command writes at its end: what can't be written is told before the work begins.

A disk that is full by then, or rights that change meanwhile, are found by the writing itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from modeldyno.base.files import STDOUT

NO_FOLDER = "a folder is written, and stdout takes a file: name a folder"


class OutputFile(click.Path):
    """A file that can be written: a new one in a folder that can be, or what is there and is no folder.

    "-" is stdout; a file of that name is ./-.
    """

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Give the path; click's error says why it can't be written."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path == STDOUT:
            return path if os.fspath(value) in ("-", STDOUT) else path.absolute()
        if why := why_no_file(path):
            self.fail(f"{path}: {why}", param, ctx)
        return path


class OutputFolder(click.Path):
    """A folder that can be written: one that is made, or one that stands there.

    `replaced` folders are made anew beside the old one, so that the folder above must be writable.
    """

    def __init__(self, *, replaced: bool = False) -> None:
        super().__init__(path_type=Path)
        self._replaced = replaced

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Give the path; click's error says why it can't be written."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if os.fspath(value) == "-":
            self.fail(NO_FOLDER, param, ctx)
        if why := _why_not_above(path) if self._replaced else why_no_folder(path):
            self.fail(f"{path}: {why}", param, ctx)
        return path


def check_one_on_stdout(paths: Iterable[Path | None], *, also: bool = False) -> bool:
    """Say whether one of the paths is standard output; `also`: something else is printed there as well.

    Raises:
        UsageError: two are to be printed there, which nobody could tell apart.
    """
    printed = sum(path == STDOUT for path in paths)
    if printed + also > 1:
        raise click.UsageError("only one result can go to standard output: name a file for the others")
    return printed > 0


def why_no_file(path: Path) -> str:
    """Say why no file can be written at `path`; nothing where one can. Links are followed."""
    try:
        if path.is_dir():
            return "this is a folder, and a file is to be written: add a file's name"
        if path.exists() and not path.is_file():  # a device or a pipe is written to, not replaced
            return "" if os.access(path, os.W_OK) else "it may not be written to"
        return _why_not_above(path.resolve())
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
        return _reason(error)


def why_no_folder(path: Path) -> str:
    """Say why no files can be written into a folder at `path`; nothing where they can."""
    try:
        if path.exists() and not path.is_dir():
            return "this is no folder, and files are to be written into one"
        return _why_not_in(path) if path.is_dir() else _why_not_above(path.resolve())
    except (OSError, RuntimeError) as error:
        return _reason(error)


def _why_not_above(path: Path) -> str:
    """Say why nothing new can be made at `path`: of the folders that lead there, the last one decides."""
    try:
        return _why_not_in(next(folder for folder in path.absolute().parents if folder.exists()))
    except (OSError, RuntimeError) as error:
        return _reason(error)


def _why_not_in(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is no folder"
    import tempfile

    try:  # rights alone do not tell: file systems may be read-only, or someone else's
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"no file can be made in the folder {folder}: {error.strerror or error}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
