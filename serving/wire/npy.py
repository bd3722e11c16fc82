"""Arrays out of request bodies: `.npy`, `.npz` and raw bytes. Data is viewed, not copied; never unpickled.

Every function raises RequestError, and nothing else, whatever the bytes are.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from modeldyno.base.errors import RequestError
from modeldyno.base.npy_header import read_npy_header
from modeldyno.base.records.record import TensorSpec

_HEAD_BYTES = 16384  # numpy itself refuses a longer header
_TOO_LARGE = 413
_SHOWN = 60
_MOST_ELEMENTS = 2**40
_END_OF_DIRECTORY = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_DIRECTORY_BYTES = 65536


def wanted(spec: TensorSpec) -> str:
    """Word what an input expects, e.g. `float32 of shape (any, 4)`."""
    return f"{spec.dtype} of shape {shape_text(spec.shape)}"


def shape_text(shape: Sequence[int | None]) -> str:
    """Word a shape, free sizes as `any`."""
    inner = ", ".join("any" if size is None else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def shown(value: object) -> str:
    """Word a value that came with a request, cut to a length fit for a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def check_shape(found: Sequence[int], spec: TensorSpec) -> None:
    """Refuse a shape that the input does not take."""
    fits = len(found) == len(spec.shape) and all(
        size >= 0 if want is None else size == want for size, want in zip(found, spec.shape, strict=True)
    )
    # A size of 0 makes any other size free of cost, but not every size is one that numpy can hold.
    if not fits or math.prod(max(size, 1) for size in found) > _MOST_ELEMENTS:
        raise RequestError(
            f"input {spec.name!r}: expected {wanted(spec)}, found shape {shown(tuple(map(int, found)))}"
        )


def read_raw(body: bytes, spec: TensorSpec) -> np.ndarray:
    """View little-endian bytes in row-major order; one free size is worked out from their number."""
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    free = [axis for axis, size in enumerate(spec.shape) if size is None]
    known = math.prod(size for size in spec.shape if size is not None) * dtype.itemsize
    if len(free) > 1:
        raise RequestError(
            f"input {spec.name!r} is {wanted(spec)}: raw bytes can't say a shape with several free sizes, "
            "send application/x-npy"
        )
    shape = [size if size is not None else len(body) // max(known, 1) for size in spec.shape]
    if math.prod(shape) * dtype.itemsize != len(body):
        multiple = "a multiple of " if free else ""
        raise RequestError(
            f"input {spec.name!r} is {wanted(spec)}: expected {multiple}{known} bytes, found {len(body)}"
        )
    return view(body, 0, shape, dtype, spec)


def read_npy(body: bytes, spec: TensorSpec) -> np.ndarray:
    """View the array of an `.npy` file."""
    shape, fortran, dtype, offset = _npy_header(body, spec)
    if dtype.hasobject:
        raise RequestError(f"input {spec.name!r}: the npy holds pickled Python objects, which are never read")
    if dtype.newbyteorder("=") != np.dtype(spec.dtype):
        raise RequestError(f"input {spec.name!r}: expected {wanted(spec)}, found dtype {shown(str(dtype))}")
    check_shape(shape, spec)
    needed, found = math.prod(shape) * dtype.itemsize, len(body) - offset
    if needed != found:
        raise RequestError(
            f"input {spec.name!r}: the npy header says {needed} bytes of data, {found} follow: cut short?"
        )
    if fortran:
        return view(body, offset, shape[::-1], dtype, spec).transpose().copy(order="C")
    return view(body, offset, shape, dtype, spec)


def read_any_npy(body: bytes) -> np.ndarray:
    """View the array of an `.npy` file, whatever numbers and shape it has."""
    anything = TensorSpec(name="body", dtype="float32", shape=())
    shape, _, dtype, _ = _npy_header(body, anything)
    if dtype.kind not in "biufc" or any(size < 0 for size in shape):
        raise RequestError(f"the npy holds {shown(str(dtype))} of shape {shown(shape)}: expected numbers")
    return read_npy(body, TensorSpec(name="body", dtype=dtype.newbyteorder("=").name, shape=shape))


def read_npz(body: bytes, specs: Sequence[TensorSpec], max_bytes: int) -> dict[str, np.ndarray]:
    """Read one array per input from an `.npz` file that unpacks to `max_bytes` at most."""
    _check_directory(body)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            check_names(members, specs)
            _check_members(archive.infolist(), max_bytes)
            # A member never unpacks past the size that was just checked: zipfile stops there.
            return {spec.name: read_npy(archive.read(members[spec.name]), spec) for spec in specs}
    except RequestError:
        raise
    except Exception as error:  # zipfile and zlib raise a dozen kinds on bytes that are no archive
        raise RequestError(f"the body is no readable npz (zip) file: {error}") from error


def check_names(found: Mapping[str, object], specs: Sequence[TensorSpec]) -> None:
    """Refuse missing and unknown input names."""
    names = [spec.name for spec in specs]
    if set(found) != set(names):
        given = [shown(name) for name in list(found)[: len(names) + 3]]
        raise RequestError(f"expected the inputs {', '.join(names)}; found {', '.join(given) or 'none'}")


def view(body: bytes, offset: int, shape: Sequence[int], dtype: np.dtype, spec: TensorSpec) -> np.ndarray:
    """View the numbers of a body as an array; copied only where they lie unaligned or in foreign order."""
    count = math.prod(shape)
    flat = np.frombuffer(body, dtype, count, offset) if count else np.empty(0, dtype)
    if dtype.kind == "b" and count and flat.view(np.uint8).max() > 1:
        raise RequestError(f"input {spec.name!r}: a bool must be 0 or 1")
    return np.require(flat.reshape(shape), np.dtype(spec.dtype), ["C", "A"])


def _check_directory(body: bytes) -> None:
    """Refuse a long list of members before zipfile makes an object of each."""
    end = body[-22:]
    if len(end) < 22 or not end.startswith(_END_OF_DIRECTORY) or end[-2:] != b"\0\0":
        raise RequestError("the body is no npz (zip) file, or it was cut short")
    if int.from_bytes(end[12:16], "little") > _DIRECTORY_BYTES or body[-42:-38] == _ZIP64_LOCATOR:
        raise RequestError("the npz has too many members", status=_TOO_LARGE)


def _check_members(entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    if sum(entry.file_size for entry in entries) > max_bytes:
        raise RequestError(f"the npz unpacks to more than {max_bytes} bytes", status=_TOO_LARGE)
    # What numpy writes. LZMA, for one, may ask for gigabytes before the first byte comes out.
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise RequestError("the npz is compressed in a way that numpy does not write: use numpy.savez")


def _npy_header(body: bytes, spec: TensorSpec) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    width = 2 if body[6:7] == b"\x01" else 4  # bytes that say the header's length, in format 1 and later
    length = int.from_bytes(body[8 : 8 + width], "little")
    end = 8 + width + min(length, _HEAD_BYTES)
    try:
        return *_parse_header(body[:end]), end
    except Exception as error:  # the header is a Python literal: the parser raises many kinds
        raise RequestError(f"input {spec.name!r}: the body is no readable npy file: {error}") from error


@lru_cache(maxsize=16)
def _parse_header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Parse magic and header, once: clients send the same one again, and this takes longer than the rest."""
    return read_npy_header(io.BytesIO(head))
