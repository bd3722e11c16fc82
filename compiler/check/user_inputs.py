"""The user's own inputs for the parity check: one .npz file a record, arrays named as the model's inputs."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from modeldyno.base.digests import digest_files
from modeldyno.base.errors import ConfigError
from modeldyno.base.npy_header import read_npy_header
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.fixed_shapes import MOST_ELEMENTS, show_shape
from modeldyno.compiler.model.shapes import FreeAxis, Template, open_specs
from modeldyno.compiler.model.source import UserInputs
from modeldyno.runtime.records.buckets import Place
from modeldyno.runtime.sessions.feeds import is_array

Given = Path | str | Mapping[str, Any]
_SUFFIX = ".npy"


@dataclass(frozen=True)
class _Wanted:
    """What an array must be."""

    spec: TensorSpec
    file: str

    def check(self, dtype: Any, shape: tuple[int, ...]) -> None:
        """Compare type and shape with the input's.

        Raises:
            ConfigError: they differ, or the array is larger than any that is compiled for.
        """
        spec = self.spec
        text = spec.dtype == "object" and dtype.kind == "U"
        if dtype.newbyteorder("=") != np.dtype(spec.dtype) and not text:
            raise ConfigError(
                f"{self.file}: {spec.name!r} is {dtype.name}, and the model takes {spec.dtype}: "
                f"save it as array.astype({spec.dtype!r})"
            )
        limits = spec.limits or (None,) * len(spec.shape)
        fits = len(shape) == len(spec.shape) and all(
            size == want if want is not None else limit is None or limit[0] <= size <= limit[1]
            for size, want, limit in zip(shape, spec.shape, limits, strict=True)
        )
        if not fits or math.prod(shape) > MOST_ELEMENTS:
            raise ConfigError(
                f"{self.file}: {spec.name!r} has the shape {show_shape(shape)}, and the model takes "
                f"{_limits(spec)}"
            )


def read_inputs(given: Sequence[Given], specs: Sequence[TensorSpec]) -> tuple[UserInputs, ...]:
    """Read records: .npz files, or arrays by name.

    Raises:
        ConfigError: a file is missing or no .npz file, an input is missing, unknown or not of the model's
            type and shape, or the model has inputs that are no arrays.
    """
    return tuple(_read(each, specs, number) for number, each in enumerate(given, start=1))


def read_open_inputs(
    given: Sequence[Given], template: Template, dtypes: Mapping[str, str]
) -> tuple[UserInputs, ...]:
    """Read records for a model whose shapes have open axes.

    Raises:
        ConfigError: as `read_inputs`; or a record has a size that is not compiled, or two of one axis.
    """
    records = read_inputs(given, open_specs(template, dtypes))
    for record in records:
        for axis in template.axes:
            _check_axis(record, axis)
    return records


def _check_axis(record: UserInputs, axis: FreeAxis) -> None:
    found = {f"{place.tensor}[{place.dimension}]": _size(record, place) for place in axis.places}
    shown = ", ".join(f"{place} is {size}" for place, size in found.items())
    if len(set(found.values())) > 1:
        raise ConfigError(f"{record.name}: {shown}: these move together ({axis.name})")
    if not axis.span.padded and not set(found.values()) <= set(axis.span.sizes):
        raise ConfigError(f"{record.name}: {shown}; the sizes that are compiled are {axis.span}")


def _size(record: UserInputs, place: Place) -> int:
    return int(record.feeds[place.tensor].shape[place.dimension])


def _read(given: Given, specs: Sequence[TensorSpec], number: int) -> UserInputs:
    foreign = [spec for spec in specs if not is_array(spec)]
    if foreign:
        raise ConfigError(
            f"`inputs`: input {foreign[0].name!r} is a {foreign[0].dtype}; a file holds arrays only",
            field="inputs",
        )
    if isinstance(given, Mapping):
        return _of_arrays(given, specs, f"record {number}")
    path = Path(given)
    try:
        with zipfile.ZipFile(path) as archive:
            feeds = _of_archive(archive, specs, str(path))
    except FileNotFoundError as error:
        raise ConfigError(f"`inputs`: file not found: {path}", field="inputs") from error
    except zipfile.BadZipFile as error:
        raise ConfigError(
            f"{path} is no .npz file ({error}): numpy.savez({path.stem!r}, NAME=array) writes one"
        ) from error
    except (ValueError, OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return UserInputs(name=path.name, digest=digest_files([path]), feeds=feeds)


def _of_arrays(given: Mapping[str, Any], specs: Sequence[TensorSpec], title: str) -> UserInputs:
    arrays = {name: np.asarray(value) for name, value in given.items()}
    _check_names(arrays, specs, title)
    state = hashlib.blake2b(digest_size=32)
    for spec in specs:
        array = arrays[spec.name]
        _Wanted(spec, title).check(array.dtype, array.shape)
        state.update(f"{spec.name} {array.dtype.name} {array.shape}\n".encode())
        state.update(repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes())
    feeds = {spec.name: _native(arrays[spec.name], spec) for spec in specs}
    return UserInputs(name=title, digest=state.hexdigest(), feeds=feeds)


def _of_archive(archive: zipfile.ZipFile, specs: Sequence[TensorSpec], file: str) -> dict[str, Array]:
    names = [name.removesuffix(_SUFFIX) for name in archive.namelist()]
    _check_names(names, specs, file)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{file} has {name!r} {names.count(name)} times")
    entries = {entry.filename.removesuffix(_SUFFIX): entry for entry in archive.infolist()}
    feeds = {}
    for spec in specs:
        with archive.open(entries[spec.name]) as stream:
            feeds[spec.name] = _native(_array(stream, _Wanted(spec, file)), spec)
    return feeds


def _array(stream: IO[bytes], wanted: _Wanted) -> Array:
    """Read one array: its header before any of its data is unpacked, and never a pickle."""
    shape, fortran, dtype = read_npy_header(stream)
    if dtype.hasobject:
        raise ConfigError(
            f"{wanted.file}: {wanted.spec.name!r} holds Python objects, which are not unpickled"
        )
    wanted.check(dtype, shape)
    size = math.prod(shape) * dtype.itemsize
    data = stream.read(size + 1)
    if len(data) != size:
        raise ConfigError(
            f"{wanted.file}: {wanted.spec.name!r} holds {len(data)} bytes, and its header says {size}"
        )
    array = np.frombuffer(data, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _native(array: Array, spec: TensorSpec) -> Array:
    return np.ascontiguousarray(array, np.dtype(spec.dtype)).reshape(array.shape)


def _check_names(given: Sequence[str] | Mapping[str, Any], specs: Sequence[TensorSpec], file: str) -> None:
    wanted = [spec.name for spec in specs]
    listed = ", ".join(wanted)
    for name in given:
        if name not in wanted:
            raise ConfigError(f"{file} has an array {name!r}; the model's inputs are: {listed}")
    for name in wanted:
        if name not in given:
            raise ConfigError(f"{file} has no array for the input {name!r}; the model's inputs are: {listed}")


def _limits(spec: TensorSpec) -> str:
    limits = spec.limits or (None,) * len(spec.shape)
    sizes = [
        str(size) if size is not None else f"{limit[0]}..{limit[1]}" if limit else "?"
        for size, limit in zip(spec.shape, limits, strict=True)
    ]
    return f"[{', '.join(sizes)}]"
