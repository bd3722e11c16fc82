"""A look into a `.pt2` archive before torch opens it.

`torch.export.load` unpickles weights that are marked so, and hands symbolic sizes to sympy, which evaluates
text. A model file may come from anywhere: what could run code is refused here.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dyno.errors import ModelError

JSON_LIMIT_BYTES = 512 << 20
# As torch writes them: Add(Symbol('s77', integer=True), Integer(2)), or plain s77 + 2.
_ARITHMETIC = re.compile(r"(?:[\w\s+\-*/%(),.<>=&|~]|'\w*')*")
# What has no place in such text: dunder names, attributes, and calls of anything but sympy's (capital) classes.
_SUSPECT = re.compile(r"__|\.\s*[A-Za-z_]|(?<!\w)[^\W\dA-Z]\w*\s*\(|\)\s*\(")


def check_pt2(path: Path) -> None:
    """Refuse an archive that is damaged, of the old layout, or that could run code when it is opened.

    Raises:
        ModelError: says which of these it is.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_layout(path, archive)
            for name, document in _json_files(path, archive):
                _check_document(path, name, document)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(f"{path} is no readable torch.export program (.pt2): {error}") from error


def _check_layout(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    if not any(name.endswith("/archive_format") for name in names):
        raise ModelError(
            f"{path} is no .pt2 archive that this version reads; write it with torch.export.save of torch 2.8 or newer"
        )
    for name in names:
        file = name.rsplit("/", 1)[-1]
        if file.startswith(("custom_obj_", "opaque_obj_")):
            raise ModelError(f"{path} holds a pickled object ({name}), which could run code: it is not opened")


def _json_files(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, Any]]:
    for entry in archive.infolist():
        if not entry.filename.endswith(".json"):
            continue
        if entry.file_size > JSON_LIMIT_BYTES:
            raise ModelError(f"{path}: {entry.filename} unpacks to {entry.file_size} bytes; that is no model graph")
        yield entry.filename, json.loads(archive.read(entry))


def _check_document(path: Path, name: str, document: Any) -> None:
    for key, value in _entries(document):
        if key == "use_pickle" and value:
            raise ModelError(
                f"{path} holds pickled weights ({name}), which could run code: it is not opened. "
                "Export the model with plain tensors as weights"
            )
        if key == "expr_str" and not _is_arithmetic(value):
            raise ModelError(f"{path}: {name} has a symbolic size that is no arithmetic ({value!r}): it is not opened")


def _is_arithmetic(text: Any) -> bool:
    return isinstance(text, str) and bool(_ARITHMETIC.fullmatch(text)) and not _SUSPECT.search(text)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Give every (key, value) of a JSON document, however deep (no recursion: depth is the file's choice)."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield from item.items()
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
