"""A look into a `.pt2` archive before torch opens it.

`torch.export.load` unpickles what is marked so (and example inputs that are no plain tensors), loads compiled
libraries, hands symbolic sizes to sympy, which evaluates text, and puts names and guards into Python source
that it runs. A model file may come from anywhere: what could run code is refused here.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from modeldyno.base.errors import ModelError

JSON_LIMIT_BYTES = 512 << 20
# As torch writes them: Add(Symbol('s77', integer=True), Integer(2)), or plain s77 + 2.
_ARITHMETIC = re.compile(r"(?:[\w\s+\-*/%(),.<>=!&|~]|'\w*')*")
# What has no place in such text: dunder names, attributes, and calls of anything but sympy's (capital)
# classes.
_SUSPECT = re.compile(r"__|\.\s*[A-Za-z_]|(?<!\w)[^\W\dA-Z]\w*\s*\(|\)\s*\(")
# The sizes of inputs in a guard, L['x'].size()[0], and the words that a guard may have beyond arithmetic.
_GUARD_PARTS = re.compile(
    r"\['\w+'\]|\[\d+\]|\.(?:size|stride|storage_offset|dim)\(\)|\b(?:and|or|not|min|max)\b"
)
# Names end up in source text: dotted words. A signature is a tree in JSON, whose dictionary keys do so too.
_NAME = re.compile(r"[\w.]*")
_TREE = re.compile(r'[\w\s.,:\[\]{}"\\-]*')
_COMPILED_SUFFIXES = (".so", ".o", ".cubin", ".dll", ".dylib")


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
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, zlib.error, RuntimeError) as error:
        # RuntimeError: an encrypted entry, an unknown compression, JSON nested beyond Python's stack.
        raise ModelError(f"{path} is no readable torch.export program (.pt2): {error}") from error


def mentions(path: Path, text: str) -> bool:
    """Whether a program in an archive has a text in it, the name of an operator, say."""
    with zipfile.ZipFile(path) as archive:
        return any(
            text.encode() in archive.read(name)
            for name in archive.namelist()
            if "/models/" in f"/{name}" and name.endswith(".json")
        )


def written_by(path: Path) -> str:
    """Give the version of torch that wrote an archive; empty where it does not say."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "/models/" in f"/{name}" and name.endswith(".json"):
                document = json.loads(archive.read(name))
                return str(document.get("torch_version", "")) if isinstance(document, dict) else ""
    return ""


def check_example_inputs(path: Path, load: Callable[..., Any]) -> None:
    """Refuse example inputs that hold more than plain tensors: torch would unpickle them, whatever they are.

    `load` is `torch.load`, here with its safe unpickler.

    Raises:
        ModelError: they hold anything else, or are damaged.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = archive.read(name) if "/sample_inputs/" in f"/{name}" else b""
            if not data:
                continue
            try:
                load(io.BytesIO(data), weights_only=True)
            except Exception as error:
                # torch.load raises pickle, zip and runtime errors alike.
                raise ModelError(
                    f"{path}: its example inputs ({name}) are no plain tensors and could run code: "
                    "it is not opened. Export the model with tensors as example inputs"
                ) from error


def _check_layout(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    if not any(name.endswith("/archive_format") for name in names):
        raise ModelError(
            f"{path} is no .pt2 archive that this version reads (cut off, or of another kind): "
            "write it with torch.export.save of torch 2.8 or newer"
        )
    if min(entry.header_offset for entry in archive.infolist()) != 0:
        # Readers disagree on where the entries of such a file lie: what is checked might not be what is
        # opened.
        raise ModelError(f"{path} has other data before the archive: it is not opened")
    for name in names:
        file = name.rsplit("/", 1)[-1]
        if file.startswith(("custom_obj_", "opaque_obj_")):
            raise ModelError(
                f"{path} holds a pickled object ({name}), which could run code: it is not opened"
            )
        if "/aotinductor/" in f"/{name}" or file.endswith(_COMPILED_SUFFIXES):
            raise ModelError(
                f"{path} holds compiled code ({name}): it is not opened. Write it with torch.export.save"
            )


def _json_files(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, Any]]:
    for entry in archive.infolist():
        if not entry.filename.endswith(".json"):
            continue
        if entry.file_size > JSON_LIMIT_BYTES:
            raise ModelError(
                f"{path}: {entry.filename} unpacks to {entry.file_size} bytes; that is no model graph"
            )
        yield entry.filename, json.loads(archive.read(entry))


def _check_document(path: Path, name: str, document: object) -> None:
    for key, value in _entries(document):
        if key == "use_pickle" and value:
            raise ModelError(
                f"{path} holds pickled weights ({name}), which could run code: it is not opened. "
                "Export the model with plain tensors as weights"
            )
        check = _TEXT_CHECKS.get(key)
        if check is None:
            continue
        what, is_plain = check
        for text in value if isinstance(value, list) else [value]:
            # A document may use such a key for more than text (a list of arguments): those are looked into
            # in turn.
            if isinstance(text, str) and not is_plain(text):
                raise ModelError(f"{path}: {name} has {what} ({text[:200]!r}): it is not opened")


def _is_arithmetic(text: str) -> bool:
    return bool(_ARITHMETIC.fullmatch(text)) and not _SUSPECT.search(text)


def _is_guard(text: str) -> bool:
    return _is_arithmetic(_GUARD_PARTS.sub("", text)) and "__" not in text


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text))


def _is_tree(text: str) -> bool:
    return bool(_TREE.fullmatch(text))


_NAME_KEYS = (
    *("name", "as_name", "arg", "fqn", "forward_arg_names", "parameter_name", "buffer_name"),
    *("tensor_constant_name", "custom_obj_name", "user_input_name", "class_fqn"),
)
_TEXT_CHECKS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "expr_str": ("a symbolic size that is no arithmetic", _is_arithmetic),
    "guards_code": ("a guard that is no comparison of sizes", _is_guard),
    "in_spec": ("a signature with more than names", _is_tree),
    "out_spec": ("a signature with more than names", _is_tree),
    **dict.fromkeys(_NAME_KEYS, ("a name that is none", _is_name)),
}


def _entries(value: object) -> Iterator[tuple[str, Any]]:
    """Give every (key, value) of a JSON document, however deep (no recursion: depth is the file's choice)."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield from item.items()
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
