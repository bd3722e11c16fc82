"""All files of an artifact, those of the artifacts in it too, each compared with its digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modeldyno.runtime.artifact import check_library, read_bucket, read_segment
from modeldyno.runtime.gpu import read_kernels
from modeldyno.runtime.memory import map_weights
from modeldyno.runtime.records.manifest import GPU_CODE_NAME, LIBRARY_NAME, MANIFEST_NAME, Manifest
from modeldyno.runtime.records.weights import WEIGHTS_NAME


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its digest.

    Raises:
        ArtifactError: one is missing, or not the one that the manifest names.
    """
    for _ in checked_files(folder, manifest):
        pass


def checked_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Give the names of an artifact's files, each compared with its digest.

    Raises:
        ArtifactError: one is missing, or not the one that the manifest names.
    """
    check_library(folder, manifest)
    yield MANIFEST_NAME
    if manifest.gpu_code:
        read_kernels(folder, manifest.gpu_code)
        yield GPU_CODE_NAME
    if manifest.weights and not manifest.weights.up:  # else the artifact around this one has them
        map_weights(manifest.weights.path(folder), manifest.weights)
        yield WEIGHTS_NAME
    for bucket in manifest.buckets.buckets if manifest.buckets else ():
        inner = checked_files(folder / bucket.folder, read_bucket(folder, bucket))
        yield from (f"{bucket.folder}/{name}" for name in inner)
    for segment in manifest.segments:
        if segment.is_compiled:
            inner = checked_files(folder / segment.path, read_segment(folder, segment))
            yield from (f"{segment.path}/{name}" for name in inner)
        else:
            yield segment.path
    if not manifest.segments and not manifest.buckets:
        yield LIBRARY_NAME
