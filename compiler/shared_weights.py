"""One weights file for all buckets of an artifact: equal tensors lie in it once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dyno.files import mapped_output_errors
from runtime.artifact import digest_file
from runtime.manifest import Manifest
from runtime.memory import ALIGNMENT_BYTES, map_weights
from runtime.weight_records import WEIGHTS_NAME, WeightsFile, WeightSpec


class SharedWeights:
    """The file as it grows. The first bucket's tensors lie in the order in which it reads them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / WEIGHTS_NAME
        self._places: dict[bytes, int] = {}  # digest of a tensor's bytes → where they lie
        self._tensors: dict[WeightSpec, None] = {}
        self._size = 0
        self.taken_bytes = 0  # of all buckets, as if each had its own

    def take(self, folder: Path, manifest: Manifest) -> tuple[WeightSpec, ...] | None:
        """Move a bucket's weights out of its own file; None where its library holds them."""
        if manifest.weights is None:
            return None
        own = folder / WEIGHTS_NAME
        self.taken_bytes += manifest.weights.bytes
        specs = []
        with mapped_output_errors(self._path), self._path.open("ab") as stream:
            for spec, array in zip(manifest.weights.tensors, map_weights(own, manifest.weights), strict=True):
                data = array.reshape(-1).view("uint8").data
                key = hashlib.blake2b(data, digest_size=32).digest()
                if key not in self._places:
                    gap = bytes(-self._size % ALIGNMENT_BYTES)
                    self._places[key] = self._size + len(gap)
                    stream.write(gap)
                    stream.write(data)
                    self._size = self._places[key] + len(data)
                specs.append(spec.model_copy(update={"offset": self._places[key]}))
        own.unlink()
        self._tensors |= dict.fromkeys(specs)
        return tuple(specs)

    def close(self) -> WeightsFile | None:
        """Finish the file and say what is in it; None where no bucket had weights of its own."""
        if not self._path.exists():
            return None
        with mapped_output_errors(self._path), self._path.open("ab") as stream:
            stream.write(bytes(ALIGNMENT_BYTES))  # no file of 0 bytes, which can't be mapped
        size = self._path.stat().st_size
        return WeightsFile(digest=digest_file(self._path), bytes=size, tensors=tuple(self._tensors))
