"""The body of an answer as arrays by name; nothing is unpickled, and what is no numbers is compared as is."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from modeldyno.loadgen.payloads.body import JSON, NPY, NPZ
from modeldyno.serving.wire.npy import read_any_npy

Array = npt.NDArray[Any]
Leaves = dict[str, Array | str]
"""Arrays of numbers, and text that is the same or not, each by its place in the answer."""
BODY = "the body"
_MOST_UNPACKED = 1 << 30
_NUMBERS = "biuf"


def decoded(content_type: str, body: bytes) -> Leaves:
    """Read an answer; a body that is not what its type says is one leaf of text."""
    kind = content_type.split(";", 1)[0].strip().lower()
    read = _READERS.get(kind) or (_json if kind.endswith("+json") else None)
    if read is None and kind.startswith("text/"):
        read = _text
    try:
        return read(body) if read else {BODY: _shown(body)}
    except (
        Exception
    ):  # zipfile, zlib and numpy raise a dozen kinds on bytes that are not what they are said to be
        return {BODY: _shown(body)}


def _npy(body: bytes) -> Leaves:
    return {"the array": _array(body)}


def _npz(body: bytes) -> Leaves:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > _MOST_UNPACKED:
            raise ValueError("it unpacks to more than 1 GiB")
        return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}


def _array(body: bytes) -> Array:
    array = read_any_npy(body)
    return np.stack([array.real, array.imag], -1) if array.dtype.kind == "c" else array


def _json(body: bytes) -> Leaves:
    return dict(_walk(json.loads(body), ""))


def _walk(value: Any, place: str) -> Iterator[tuple[str, Array | str]]:
    """Give each list of numbers as one array, whatever its depth, and each other value by its place."""
    array = _numbers(value) if isinstance(value, list | int | float) else None
    if array is not None:
        yield place or BODY, array
    elif isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _walk(each, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _walk(each, f"{place}[{index}]")
    else:
        yield place or BODY, json.dumps(value)


def _numbers(value: Any) -> Array | None:
    try:
        array = np.array(value)
    except (ValueError, OverflowError):  # lists of several lengths
        return None
    return array if array.dtype.kind in _NUMBERS else None


def _text(body: bytes) -> Leaves:
    """Read rows of numbers, with commas or spaces between them, as an array."""
    text = body.decode()
    rows = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
    try:
        return {BODY: np.array([[float(cell) for cell in row] for row in rows])}
    except ValueError:
        return {BODY: text}


def _shown(body: bytes) -> str:
    return body.decode("latin-1")


_READERS: dict[str, Callable[[bytes], Leaves]] = {NPY: _npy, NPZ: _npz, JSON: _json}
