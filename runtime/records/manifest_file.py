"""`manifest.json`: read, and sealed with a digest of itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from modeldyno.base.errors import ArtifactError
from modeldyno.base.records.fields import ValidationError
from modeldyno.runtime.records.manifest import MANIFEST_NAME, SCHEMA_VERSION, Manifest

_OLDEST = 1  # artifacts of this version have their weights inside the library
_SEALED = 3  # from this version on the manifest has a digest of itself
# What manifests without one could have: with any other field, it was made by a version that seals.
_UNSEALED = frozenset(
    (
        *(
            "schema_version",
            "created_at",
            "model",
            "source_digest",
            "frontend",
            "inputs",
            "outputs",
            "target",
        ),
        *("precision", "options", "toolchain", "stages", "parity", "kernels", "peak", "tuning"),
        *("library_digest", "library_bytes", "weights"),
    )
)


def sealed(text: str) -> str:
    """Put its digest into a manifest's JSON text, whose `manifest_digest` is empty."""
    empty = '"manifest_digest": "'
    before, found, after = text.rpartition(empty)
    if not found or not after.startswith('"'):
        raise ValueError("no empty manifest_digest to fill in")
    return f"{before}{found}{digest_bytes(text.encode())}{after}"


def digest_bytes(data: bytes) -> str:
    """BLAKE2b-256, as hexadecimal text."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read an artifact's manifest.

    Raises:
        ArtifactError: `folder` is no artifact, its manifest is damaged, or a newer version made it.
    """
    path = folder / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{folder} is no artifact: cannot read {MANIFEST_NAME} ({error.strerror}); "
            "`dyno compile` makes one"
        ) from error
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(_explain(path, data, error)) from error
    if not _OLDEST <= manifest.schema_version <= SCHEMA_VERSION:
        raise ArtifactError(_newer(path, manifest.schema_version))
    if _is_sealed(data, manifest.schema_version) and not _is_whole(data, manifest.manifest_digest):
        raise ArtifactError(
            f"{path} is damaged or was edited: its digest is not its own; copy or compile it again"
        )
    return manifest


def _is_sealed(data: bytes, schema_version: int) -> bool:
    """Whether the version that made a manifest gave it a digest, whatever it says of its version."""
    return schema_version >= _SEALED or not _UNSEALED.issuperset(json.loads(data))


def _is_whole(data: bytes, digest: str) -> bool:
    return bool(digest) and digest_bytes(data.replace(digest.encode(), b"", 1)) == digest


def _explain(path: Path, data: bytes, error: ValidationError) -> str:
    try:
        found = json.loads(data).get("schema_version")
    except (ValueError, AttributeError):
        found = None
    if isinstance(found, int) and found > SCHEMA_VERSION:
        return _newer(path, found)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{path} is damaged: {where}: {first['msg']}; compile the model again"


def _newer(path: Path, found: int) -> str:
    return (
        f"{path} has schema_version {found}, this modeldyno reads {SCHEMA_VERSION}: "
        "update modeldyno, or compile the model again"
    )
