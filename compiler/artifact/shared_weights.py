"""One weights file for all buckets of an artifact: equal tensors lie in it once.

Weights of segments for ONNX Runtime lie there too: their .onnx files keep what shapes may hang on, and name
the rest, which the runtime gives to ONNX Runtime where it is mapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from modeldyno.base.digests import digest_file
from modeldyno.base.files import mapped_output_errors, write_bytes
from modeldyno.compiler.artifact.manifests import segments_digest, write_manifest
from modeldyno.runtime.memory import ALIGNMENT_BYTES, map_weights
from modeldyno.runtime.records.manifest import LIBRARY_NAME, Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.segments import Segment
from modeldyno.runtime.records.weights import WEIGHTS_NAME, WeightsFile, WeightSpec

# Of an .onnx file; what is smaller may be a shape or an axis, which ONNX Runtime reads while it loads.
_SMALL_BYTES = 1024
Specs = tuple[WeightSpec, ...]


@dataclass(frozen=True)
class Taken:
    """A bucket without its weights, and where they lie now: its own, and those of each compiled segment."""

    manifest: Manifest
    tensors: Specs | None
    inner: tuple[Specs | None, ...] = ()


class SharedWeights:
    """The file as it grows. The first bucket's tensors lie in the order in which it reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / WEIGHTS_NAME
        self._places: dict[bytes, int] = {}  # digest of a tensor's bytes → where they lie
        self._tensors: dict[WeightSpec, None] = {}
        self._size = 0

    def take(self, folder: Path, manifest: Manifest) -> Taken:
        """Move a bucket's weights out of its own files; those that its libraries hold stay there."""
        if not manifest.segments:
            return Taken(manifest, self._take_file(folder, manifest.weights))
        inner = tuple(self._take_compiled(folder / segment.path, segment) for segment in manifest.segments)
        segments = tuple(self._take_onnx(folder, segment) for segment in manifest.segments)
        of_onnx = [segment.weights.values() for segment in segments if segment.weights]
        found = [*of_onnx, *(specs for specs in inner if specs is not None)]
        tensors = tuple(dict.fromkeys(spec for specs in found for spec in specs)) if found else None
        return Taken(manifest.model_copy(update={"segments": segments}), tensors, inner)

    def close(self) -> WeightsFile | None:
        """Finish the file and say what is in it; None where no bucket had weights of its own."""
        if not self._path.exists():
            return None
        with mapped_output_errors(self._path), self._path.open("ab") as stream:
            stream.write(bytes(ALIGNMENT_BYTES))  # no file of 0 bytes, which can't be mapped
        size = self._path.stat().st_size
        return WeightsFile(digest=digest_file(self._path), bytes=size, tensors=tuple(self._tensors))

    def settle(self, folder: Path, taken: Taken, shared: WeightsFile | None) -> Manifest:
        """Write the bucket's manifests anew, now that the file of the weights is known."""
        segments = tuple(
            _resealed(segment, folder / segment.path, self._seen_from(folder / segment.path, shared, specs))
            for segment, specs in zip(taken.manifest.segments, taken.inner, strict=True)
        )
        changed: dict[str, object] = {"weights": self._seen_from(folder, shared, taken.tensors)}
        if segments:
            changed |= {"segments": segments, "library_digest": segments_digest(segments)}
        return write_manifest(folder, taken.manifest.model_copy(update=changed))

    def _seen_from(self, folder: Path, shared: WeightsFile | None, specs: Specs | None) -> WeightsFile | None:
        if shared is None or specs is None:
            return None
        up = len(folder.relative_to(self._folder).parts)
        return shared.model_copy(update={"tensors": specs, "up": up})

    def _take_compiled(self, folder: Path, segment: Segment) -> Specs | None:
        return self._take_file(folder, read_manifest(folder).weights) if segment.is_compiled else None

    def _take_file(self, folder: Path, weights: WeightsFile | None) -> Specs | None:
        if weights is None:
            return None
        own = folder / WEIGHTS_NAME
        arrays = map_weights(own, weights)
        specs = tuple(
            spec.model_copy(update={"offset": offset})
            for spec, offset in zip(weights.tensors, self._put(arrays), strict=True)
        )
        own.unlink()
        self._tensors |= dict.fromkeys(specs)
        return specs

    def _take_onnx(self, folder: Path, segment: Segment) -> Segment:
        if segment.is_compiled:
            return segment
        file = folder / segment.path
        model = onnx.load(file)
        large = [tensor for tensor in model.graph.initializer if _is_large(tensor)]
        if not large:
            return segment
        arrays = [numpy_helper.to_array(tensor) for tensor in large]
        weights = {
            tensor.name: WeightSpec(dtype=array.dtype.name, shape=array.shape, offset=offset)
            for tensor, array, offset in zip(large, arrays, self._put(arrays), strict=True)
        }
        for tensor, array in zip(large, arrays, strict=True):
            _make_external(tensor, weights[tensor.name].offset, array.nbytes)
        write_bytes(file, model.SerializeToString(deterministic=True))
        self._tensors |= dict.fromkeys(weights.values())
        changed = {"weights": weights, "digest": digest_file(file), "bytes": file.stat().st_size}
        return segment.model_copy(update=changed)

    def _put(self, arrays: Iterable[np.ndarray]) -> list[int]:
        """Write what is not there yet; give where each lies."""
        offsets = []
        with mapped_output_errors(self._path), self._path.open("ab") as stream:
            for array in arrays:
                data = np.ascontiguousarray(array).reshape(-1).view("uint8").data
                key = hashlib.blake2b(data, digest_size=32).digest()
                if key not in self._places:
                    gap = bytes(-self._size % ALIGNMENT_BYTES)
                    self._places[key] = self._size + len(gap)
                    stream.write(gap)
                    stream.write(data)
                    self._size = self._places[key] + len(data)
                offsets.append(self._places[key])
        return offsets


def _is_large(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor is worth moving, and of a type that numpy has: its bytes are then the same in both."""
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError):
        return False
    return (
        dtype.kind in "fiub"
        and dtype.isbuiltin == 1
        and int(np.prod(tensor.dims, dtype=np.int64)) * dtype.itemsize >= _SMALL_BYTES
    )


def _make_external(tensor: onnx.TensorProto, offset: int, count: int) -> None:
    """Leave name, type and shape; whoever opens the file by itself is told where the numbers lie."""
    kept = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    kept.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS_NAME), ("offset", str(offset)), ("length", str(count))):
        kept.external_data.add(key=key, value=value)
    tensor.CopyFrom(kept)


def _resealed(segment: Segment, folder: Path, weights: WeightsFile | None) -> Segment:
    if not segment.is_compiled:
        return segment
    manifest = write_manifest(folder, read_manifest(folder).model_copy(update={"weights": weights}))
    library = (folder / LIBRARY_NAME).stat().st_size
    digests = {"digest": manifest.manifest_digest, "content_digest": manifest.model_digest}
    return segment.model_copy(update={**digests, "bytes": library})
