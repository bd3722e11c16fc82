"""The request body: seeded random tensors for a signature, or a file of the user's."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import TensorSpec
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.runtime.sessions.feeds import random_feeds

NPY = "application/x-npy"
NPZ = "application/x-npz"
JSON = "application/json"
MAX_BODY_MIB = 256
CONTENT_TYPES = {
    ".npy": NPY,
    ".npz": NPZ,
    ".json": JSON,
    ".bin": "application/octet-stream",
    ".raw": "application/octet-stream",
}


@dataclass(frozen=True)
class Payload:
    """One request body, sent again and again."""

    body: bytes
    content_type: str


def payload_for(inputs: tuple[TensorSpec, ...], seed: int) -> Payload:
    """Make a body for a model: x-npy for one input, x-npz for several; the same seed gives the same bytes.

    A free dimension is the smallest that the model takes. Floats are standard normal; integers are 0 or 1,
    valid as token ids and masks.

    Raises:
        ConfigError: an input has a type that can't be drawn, or the body would pass 256 MiB.
    """
    if not inputs:
        raise ConfigError("the model declares no inputs: give a request body with `payload`", field="payload")
    for spec in inputs:
        _check_drawable(spec)
    arrays = random_feeds(inputs, seed)
    if len(arrays) == 1:
        return Payload(npy_body(next(iter(arrays.values()))), NPY)
    return Payload(npz_body(arrays), NPZ)


def payload_from_file(path: Path, content_type: str | None = None) -> Payload:
    """Read a body; without `content_type` the file's ending says it (.npy, .npz, .json, .bin, .raw).

    Raises:
        ConfigError: the file can't be read, is empty or too large, or its ending says no content type.
    """
    kind = content_type or CONTENT_TYPES.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(
            f"cannot tell the content type of {path}: say it with `content_type`", field="content_type"
        )
    try:
        size = path.stat().st_size
        _check_size(size, str(path))
        body = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the payload {path}: {error.strerror or error}") from error
    if not body:
        raise ConfigError(f"the payload {path} is empty")
    return Payload(body, kind)


def _check_drawable(spec: TensorSpec) -> None:
    shape = spec.smallest
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError as error:
        raise ConfigError(_undrawable(spec)) from error
    _check_size(math.prod(shape) * dtype.itemsize, f"input {spec.name!r}")
    if dtype.kind not in "fiub":
        raise ConfigError(_undrawable(spec))


def _undrawable(spec: TensorSpec) -> str:
    return f"cannot make random values of type {spec.dtype} for input {spec.name!r}: use `payload`"


def _check_size(size_bytes: int, what: str) -> None:
    if size_bytes > MAX_BODY_MIB * BYTES_PER_MIB:
        raise ConfigError(
            f"{what} has {size_bytes / BYTES_PER_MIB:.0f} MiB; at most {MAX_BODY_MIB} can be sent"
        )


def npy_body(array: npt.NDArray[np.generic]) -> bytes:
    """Write an array as an .npy body."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def npz_body(arrays: dict[str, npt.NDArray[np.generic]]) -> bytes:
    """Like numpy.savez, without the time of day that it puts into the file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as bundle:
        for name, array in arrays.items():
            bundle.writestr(zipfile.ZipInfo(f"{name}.npy"), npy_body(array))
    return stream.getvalue()
