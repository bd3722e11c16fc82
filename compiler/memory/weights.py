"""The weights file: all tensors behind each other, each where TVM's code may read it in place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeldyno.base.files import mapped_output_errors
from modeldyno.compiler.model.arrays import Array
from modeldyno.runtime.memory import ALIGNMENT_BYTES
from modeldyno.runtime.records.weights import WeightsFile, WeightSpec


def write_weights(path: Path, weights: Sequence[Array]) -> WeightsFile:
    """Write the tensors to `path`, row by row (C order), in this machine's byte order (little endian).

    Raises:
        OutputError: the file can't be written.
    """
    state = hashlib.blake2b(digest_size=32)
    specs = []
    with mapped_output_errors(path), path.open("wb") as stream:

        def put(data: bytes | memoryview) -> None:
            stream.write(data)
            state.update(data)

        for array in weights:
            put(bytes(-stream.tell() % ALIGNMENT_BYTES))
            specs.append(WeightSpec(dtype=array.dtype.name, shape=array.shape, offset=stream.tell()))
            put(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        put(bytes(ALIGNMENT_BYTES))  # no file of 0 bytes, which can't be mapped
        size = stream.tell()
    return WeightsFile(digest=state.hexdigest(), bytes=size, tensors=tuple(specs))
