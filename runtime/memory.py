"""Memory that TVM's code reads and writes: aligned arrays, and weights mapped from their file.

Mapped weights are the page cache's own pages: nothing is copied, all processes that serve one model share
them, and the system may drop them and read them again when memory is short.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from modeldyno.base.errors import ArtifactError
from modeldyno.runtime.records.weights import WeightsFile, WeightSpec

Array = npt.NDArray[Any]
T = TypeVar("T")
ALIGNMENT_BYTES = 64  # what TVM's code may assume of every tensor
_CHUNK = 1 << 24  # a whole number of pages


def aligned(array: Array) -> Array:
    """Give the array itself if TVM can read it in place (contiguous, writable, aligned), else a copy."""
    fits = array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % ALIGNMENT_BYTES == 0
    if fits and array.dtype.isnative:
        return array
    copy = empty_aligned(array.shape, array.dtype.newbyteorder("="))
    np.copyto(copy, array)
    return copy


def empty_aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Make an array with an address that TVM's code may assume."""
    count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    space = np.empty(count + ALIGNMENT_BYTES, np.uint8)
    start = -space.ctypes.data % ALIGNMENT_BYTES
    return _compact(space[start : start + count].view(dtype).reshape(shape))


def _compact(array: Array) -> Array:
    """Give an array without elements the strides of one row behind another, which TVM's code checks.

    Numpy's own are as if each axis of size 0 had size 1. Any other array is given back as it is.
    """
    if array.size:
        return array
    strides = [int(np.prod(array.shape[axis + 1 :])) * array.itemsize for axis in range(array.ndim)]
    return np.lib.stride_tricks.as_strided(array, array.shape, strides)


def map_weights_beside(path: Path, file: WeightsFile, work: Callable[[], T]) -> tuple[list[Array], T]:
    """Map and check the weights in a thread of its own while `work` is done in this one.

    Raises:
        ArtifactError: as map_weights; else what `work` raises.
    """
    mapped: list[list[Array] | BaseException] = []

    def map_them() -> None:
        try:
            mapped.append(map_weights(path, file))
        except BaseException as error:  # raised again in the thread that waits
            mapped.append(error)

    thread = threading.Thread(target=map_them)
    thread.start()
    try:
        done = work()
    finally:
        thread.join()
        if isinstance(mapped[0], BaseException):
            raise mapped[0]
    return mapped[0], done


def map_weights(path: Path, file: WeightsFile) -> list[Array]:
    """Map the weights file and give its tensors, after a check of the very pages that are mapped.

    The pages are private: a write into a weight, which no code here does, would not reach the file.

    Raises:
        ArtifactError: the file is missing, or not the one that the manifest names.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != file.bytes:
                raise ArtifactError(
                    f"{path} is damaged: {size} bytes, the manifest says {file.bytes}; "
                    "copy or compile it again"
                )
            mapped = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise ArtifactError(
            f"{path.parent} is damaged: cannot read {path.name} ({error.strerror}); compile the model again"
        ) from error
    if _digest(mapped) != file.digest:
        raise ArtifactError(f"{path} is damaged: its digest is not the manifest's; copy or compile it again")
    space = np.frombuffer(mapped, np.uint8)
    return [
        _compact(space[tensor.offset : tensor.offset + tensor.bytes].view(tensor.dtype).reshape(tensor.shape))
        for tensor in file.tensors
    ]


class MappedWeights:
    """A weights file that several libraries read: mapped and checked once.

    Raises:
        ArtifactError: as map_weights.
    """

    def __init__(self, folder: Path, file: WeightsFile | None) -> None:
        self._arrays: dict[tuple[int, str, tuple[int, ...]], Array] = {}
        if file is not None:
            arrays = map_weights(file.path(folder), file)
            self._arrays = dict(zip(map(_key, file.tensors), arrays, strict=True))

    def of(self, file: WeightsFile | None) -> list[Array]:
        """Give the tensors that one of the libraries reads, in its order."""
        return [self[spec] for spec in (file.tensors if file else ())]

    def __getitem__(self, spec: WeightSpec) -> Array:
        """Give a tensor."""
        return self._arrays[_key(spec)]


def _key(spec: WeightSpec) -> tuple[int, str, tuple[int, ...]]:
    return spec.offset, spec.dtype, spec.shape


def _digest(mapped: mmap.mmap) -> str:
    """BLAKE2b-256 of mapped pages; each is let go of once read, so that no more stays than will be used."""
    state = hashlib.blake2b(digest_size=32)
    with memoryview(mapped) as view:
        for start in range(0, len(view), _CHUNK):
            state.update(view[start : start + _CHUNK])
            mapped.madvise(mmap.MADV_DONTNEED, start, min(_CHUNK, len(view) - start))
    return state.hexdigest()
