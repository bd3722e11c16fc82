"""An artifact: its files, and a digest that two compiles of the same model with the same result share.

The manifest says the digests of all other files, which are compared with them here. What it says beside them
stands in the digest too, but for what no server reads: when and how it was compiled, how long that took, what
the parity check found. So two compiles that gave the same code and weights are the same to the gate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from modeldyno.gate.content.records import Content
from modeldyno.runtime.artifact import read_bucket, read_segment
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.tools.parts import checked_files

# Of a manifest: where the code came from, and what was found about it; not what runs.
UNREAD = frozenset(
    (
        *("created_at", "stages", "manifest_digest", "parity", "parity_skipped", "tuning"),
        *("model", "source_digest", "frontend", "road", "options", "toolchain"),
    )
)


def artifact_content(folder: Path) -> Content:
    """Read an artifact and compare its files with its manifest.

    Raises:
        ArtifactError: damaged, or of a newer version.
    """
    manifest = read_manifest(folder)
    up = manifest.weights.up if manifest.weights else 0
    served = PurePosixPath(*(f"up{level}" for level in range(up, 0, -1)))
    files = [(served / name, folder / name) for name in sorted(set(checked_files(folder, manifest)))]
    if manifest.weights and up:  # a bucket by itself reads the weights of the artifact around it
        weights = manifest.weights.path(folder)
        files.append((PurePosixPath(weights.name), weights))
    shapes = "several shapes" if manifest.buckets else "one shape"
    return Content(
        kind="artifact",
        path=folder,
        digest=_digest(list(_manifests(folder, manifest))),
        detail=f"artifact of {manifest.model} for {manifest.target.name}, {shapes}",
        files=tuple(files),
        served=served,
    )


def _manifests(folder: Path, manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Give what a server reads of a manifest, and of each manifest below it."""
    said = {name: value for name, value in manifest.model_dump(mode="json").items() if name not in UNREAD}
    for segment in said["segments"]:
        if segment["content_digest"]:
            segment["digest"] = ""  # that of a manifest, which has times in it; it follows by itself
    for bucket in (said["buckets"] or {}).get("buckets", ()):
        bucket["manifest_digest"] = ""
    yield said
    for each in manifest.buckets.buckets if manifest.buckets else ():
        yield from _manifests(folder / each.folder, read_bucket(folder, each))
    for part in manifest.segments:
        if part.is_compiled:
            yield from _manifests(folder / part.path, read_segment(folder, part))


def _digest(said: list[dict[str, Any]]) -> str:
    text = json.dumps(said, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
