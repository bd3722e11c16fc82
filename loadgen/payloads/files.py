"""What is sent: real samples from files, drawn by weight.

A source is a file, which is one sample, or a folder, each file of which is one; `rows` makes each row (first
axis) of the arrays in .npy and .npz files a sample. Files are sent as they are. Arrays are looked at without
unpickling: one of Python objects is refused. The bodies of a folder are kinds of their own by size, where
there are few sizes, so that the result tells their latencies apart.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import random
import zipfile
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ConfigError
from modeldyno.base.npy_header import read_npy_header
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.loadgen.payloads.body import (
    JSON,
    MAX_BODY_MIB,
    NPY,
    NPZ,
    Payload,
    npy_body,
    npz_body,
    payload_from_file,
)

MIXED = -1
"""Number of no kind: that of a query of several payloads."""
MAX_TOTAL_MIB = 512
MAX_BODIES = 100_000
MOST_JSON_BYTES = 16 * BYTES_PER_MIB
"""Longer texts are sent unread: what they become in memory is many times as large."""
MOST_SIZES = 10
"""A folder with more different sizes is one kind."""


@dataclass(frozen=True)
class Kind:
    """Bodies that are reported together."""

    name: str
    weight: float
    bodies: tuple[Payload, ...]


@dataclass(frozen=True)
class Mix:
    """What a load test sends: kinds by weight, and of each kind one body after another in a random order."""

    kinds: tuple[Kind, ...]

    @property
    def mean_bytes(self) -> float:
        """Mean size of a body, by weight."""
        total = sum(kind.weight for kind in self.kinds)
        means = (
            kind.weight * sum(len(body.body) for body in kind.bodies) / len(kind.bodies)
            for kind in self.kinds
        )
        return sum(means) / total

    @property
    def content_type(self) -> str:
        """The content types, each once."""
        return ", ".join(dict.fromkeys(body.content_type for kind in self.kinds for body in kind.bodies))


def first_body(payload: Payload | Mix) -> Payload:
    """Give one body of what is sent, always the same."""
    return payload.kinds[0].bodies[0] if isinstance(payload, Mix) else payload


class Draw:
    """Takes bodies from a mix; the same seed takes the same ones."""

    def __init__(self, mix: Mix, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - an order that can be repeated, no secret
        self._ends = list(itertools.accumulate(kind.weight for kind in mix.kinds))
        self._bodies = [iter(_rounds(kind.bodies, self._random)) for kind in mix.kinds]
        self._only = mix.kinds[0].bodies[0] if len(mix.kinds) == len(mix.kinds[0].bodies) == 1 else None

    def take(self) -> tuple[Payload, int]:
        """Return a body and the number of its kind."""
        if self._only is not None:
            return self._only, 0
        number = bisect(self._ends, self._random.random() * self._ends[-1], hi=len(self._ends) - 1)
        return next(self._bodies[number]), number


def single(payload: Payload) -> Mix:
    """One body, again and again."""
    return Mix((Kind("", 1.0, (payload,)),))


def read_mix(text: str, content_type: str | None = None, *, rows: bool = False) -> Mix:
    """Read `PATH`, or `PATH=WEIGHT,PATH=WEIGHT,...`; each path a file or a folder.

    Raises:
        ConfigError: a path can't be read, a file is no sample, a weight is no number, or there is too much.
    """
    kinds: list[Kind] = []
    for path, weight in _sources(text):
        kinds += _kinds(path, weight, content_type, rows=rows)
    _check_total([body for kind in kinds for body in kind.bodies])
    names = [kind.name for kind in kinds]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise ConfigError(
            f"`payload` {text}: two payloads are named {doubled}: no telling them apart", field="payload"
        )
    return Mix(tuple(kinds))


def _sources(text: str) -> Iterator[tuple[Path, float]]:
    if Path(text).exists():
        yield Path(text), 1.0
        return
    for part in text.split(","):
        path, sign, weight = part.strip().rpartition("=")
        if not sign:
            path, weight = weight, "1"
        try:
            number = float(weight)
        except ValueError:
            number = -1.0
        if not 0 < number < math.inf or not path:
            raise ConfigError(
                f"`payload` {part.strip()!r}: expected PATH=WEIGHT with a weight above 0", field="payload"
            )
        yield Path(path), number


def _kinds(path: Path, weight: float, content_type: str | None, *, rows: bool) -> list[Kind]:
    if not path.is_dir():
        bodies = _samples(path, content_type, rows=rows)
        return [Kind(path.name, weight, tuple(bodies))]
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    if not files:
        raise ConfigError(f"the payload folder {path} has no files")
    if len(files) > MAX_BODIES:
        raise ConfigError(
            f"the payload folder {path} has {len(files)} files; at most {MAX_BODIES} can be sent"
        )
    _check_sizes(files)
    bodies = [body for file in files for body in _samples(file, content_type, rows=rows)]
    return list(_by_size(path.resolve().name, weight, bodies))


def _by_size(name: str, weight: float, bodies: Sequence[Payload]) -> Iterator[Kind]:
    sizes = sorted({len(body.body) for body in bodies})
    if len(sizes) == 1 or len(sizes) > MOST_SIZES:
        yield Kind(name, weight, tuple(bodies))
        return
    for size in sizes:
        found = tuple(body for body in bodies if len(body.body) == size)
        yield Kind(f"{name} ({size} bytes)", weight * len(found) / len(bodies), found)


def _samples(path: Path, content_type: str | None, *, rows: bool) -> list[Payload]:
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file: a payload is a file, or a folder of files")
    payload = payload_from_file(path, content_type)
    _check_content(path, payload)
    if not rows:
        return [payload]
    if payload.content_type not in (NPY, NPZ):
        raise ConfigError(f"{path} has no rows: only .npy and .npz files can be sent row by row")
    arrays = _arrays(payload)
    counts = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise ConfigError(f"{path} can't be sent row by row: its arrays have no rows in common: {shapes}")
    (count,) = counts
    if count > MAX_BODIES:
        raise ConfigError(f"{path} has {count} rows; at most {MAX_BODIES} can be sent")
    return [_row(arrays, number, payload.content_type) for number in range(count)]


def _row(arrays: dict[str, npt.NDArray[np.generic]], number: int, content_type: str) -> Payload:
    cut = {name: array[number : number + 1] for name, array in arrays.items()}
    if content_type == NPY:
        return Payload(npy_body(next(iter(cut.values()))), NPY)
    return Payload(npz_body(cut), NPZ)


def _arrays(payload: Payload) -> dict[str, npt.NDArray[np.generic]]:
    if payload.content_type == NPY:
        return {"array": np.load(io.BytesIO(payload.body), allow_pickle=False)}
    with np.load(io.BytesIO(payload.body), allow_pickle=False) as bundle:
        return {name: bundle[name] for name in bundle.files}


def _check_content(path: Path, payload: Payload) -> None:
    """See that a file is what its content type says, without reading arrays and without unpickling."""
    try:
        if payload.content_type == NPY:
            _check_array(io.BytesIO(payload.body), len(payload.body))
        elif payload.content_type == NPZ:
            _check_bundle(payload.body)
        elif payload.content_type == JSON and len(payload.body) <= MOST_JSON_BYTES:
            json.loads(payload.body)
    except Exception as error:  # numpy and zipfile raise what they like over broken files
        raise ConfigError(f"the payload {path} is no valid {payload.content_type}: {error}") from error


def _check_bundle(body: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(body)) as bundle:
        members = bundle.infolist()
        if not members:
            raise ValueError("it has no arrays")
        if sum(member.file_size for member in members) > MAX_BODY_MIB * BYTES_PER_MIB:
            raise ValueError(f"unpacked it has more than {MAX_BODY_MIB} MiB")
        for member in members:
            with bundle.open(member) as stream:
                _check_array(stream, member.file_size)


def _check_array(stream: IO[bytes], size: int) -> None:
    shape, _, dtype = read_npy_header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size - stream.tell():
        raise ValueError("it is cut short")


def _check_sizes(files: Sequence[Path]) -> None:
    try:
        total = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise ConfigError(f"cannot read the payload {error.filename}: {error.strerror}") from error
    _check_mib(total)


def _check_total(bodies: Sequence[Payload]) -> None:
    _check_mib(sum(len(body.body) for body in bodies))


def _check_mib(size: int) -> None:
    if size > MAX_TOTAL_MIB * BYTES_PER_MIB:
        raise ConfigError(
            f"the payloads have {size / BYTES_PER_MIB:.0f} MiB together; "
            f"at most {MAX_TOTAL_MIB} can be kept ready"
        )


def _rounds(bodies: Sequence[Payload], draw: random.Random) -> Iterator[Payload]:
    order = list(bodies)
    while True:
        draw.shuffle(order)
        yield from order
