"""The artifact folder: found, checked, and fit for this machine before any of its code is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from modeldyno.base.digests import digest_file
from modeldyno.base.errors import ArtifactError
from modeldyno.base.host.facts import Processor
from modeldyno.base.records.record import HostFacts
from modeldyno.runtime.records.buckets import Bucket
from modeldyno.runtime.records.manifest import LIBRARY_NAME, Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.segments import Segment


def open_artifact(folder: Path, host: HostFacts | Processor) -> Manifest:
    """Read the manifest and check that the library is whole and that `host` can run it.

    Raises:
        ArtifactError: missing, damaged, of a newer schema, or made for another processor.
    """
    manifest = read_manifest(folder)
    check_host(folder, manifest, host)
    check_library(folder, manifest)
    return manifest


def check_host(folder: Path, manifest: Manifest, host: HostFacts | Processor) -> None:
    """Raise an ArtifactError that says why, where `host` can't run the code."""
    target = manifest.target
    made_for = target.triple.split("-", 1)[0]
    here = host.architecture.replace("arm64", "aarch64")
    if made_for != here:
        raise ArtifactError(f"{folder} was compiled for {made_for} ({target.name}); this machine is {here}")
    missing = missing_features(target.features, host.cpu_features)
    if missing:
        raise ArtifactError(
            f"{folder} was compiled for {target.name} and needs CPU features that this machine lacks: "
            f"{', '.join(missing)}",
            hint="compile it again for the target host",
        )


def missing_features(needed: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    """Features of the code that the processor does not have, in the code's order."""
    have = set(present)
    return tuple(name for name in needed if name not in have)


def check_library(folder: Path, manifest: Manifest) -> None:
    """Raise an ArtifactError where a library, or a segment, is not the one that the manifest names."""
    if manifest.segments:
        check_segments(folder, manifest)
        return
    if manifest.buckets is None:
        _check_library(folder, manifest)
        return
    for bucket in manifest.buckets.buckets:
        if bucket.in_segments:
            check_segments(folder / bucket.folder, read_bucket(folder, bucket))
        else:
            _check_library(folder / bucket.folder, bucket)


def read_bucket(folder: Path, bucket: Bucket) -> Manifest:
    """Read the manifest of one bucket of the artifact `folder`.

    Raises:
        ArtifactError: missing, damaged, or that of another artifact.
    """
    place = folder / bucket.folder
    manifest = read_manifest(place)
    if manifest.manifest_digest != bucket.manifest_digest or manifest.buckets:
        raise ArtifactError(f"{place} belongs to another artifact; copy or compile it again")
    return manifest


def read_segment(folder: Path, segment: Segment) -> Manifest:
    """Read the manifest of a compiled segment of the artifact `folder`, its library checked.

    Raises:
        ArtifactError: missing, damaged, or that of another artifact.
    """
    place = folder / segment.path
    manifest = read_manifest(place)
    if manifest.manifest_digest != segment.digest:
        raise ArtifactError(f"{place} is damaged: its digest is not the manifest's; copy or compile it again")
    check_library(place, manifest)
    return manifest


def _check_library(folder: Path, named: Manifest | Bucket) -> None:
    library = folder / LIBRARY_NAME
    if not library.is_file():
        raise ArtifactError(f"{folder} is damaged: {LIBRARY_NAME} is missing; compile the model again")
    size = library.stat().st_size
    if size != named.library_bytes:
        raise ArtifactError(
            f"{library} is damaged: {size} bytes, the manifest says {named.library_bytes}; "
            "copy or compile it again"
        )
    if digest_file(library) != named.library_digest:
        raise ArtifactError(
            f"{library} is damaged: its digest is not the manifest's; copy or compile it again"
        )


def check_segments(folder: Path, manifest: Manifest) -> None:
    """Raise an ArtifactError where a segment is not the one that the manifest names.

    Of a compiled one that is its manifest; the files behind it are checked when it is loaded.
    """
    for segment in manifest.segments:
        if _segment_digest(folder, segment) != segment.digest:
            raise ArtifactError(
                f"{folder / segment.path} is damaged: its digest is not the manifest's; "
                "copy or compile it again"
            )


def _segment_digest(folder: Path, segment: Segment) -> str:
    path = folder / segment.path
    if ".." in Path(segment.path).parts or Path(segment.path).is_absolute():
        raise ArtifactError(f"{folder} is damaged: the segment {segment.path} lies outside of it")
    if segment.is_compiled:
        return read_manifest(path).manifest_digest
    if not path.is_file():
        raise ArtifactError(f"{folder} is damaged: {segment.path} is missing; compile the model again")
    return digest_file(path)
