"""From what a user names to a Side: a URL, a path, or a baseline of the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from modeldyno.base.errors import ArtifactError, ConfigError, ModelError, unknown_name
from modeldyno.gate.content.digests import digest_named
from modeldyno.gate.content.read import WHAT_A_SIDE_IS, content_of
from modeldyno.gate.content.records import Content
from modeldyno.gate.sides.record import Side
from modeldyno.gate.store.folder import checked, names
from modeldyno.loadgen.server.endpoint import endpoint_url

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):\d{1,5}(/.*)?")
_FILE_ENDINGS = (".onnx", ".pt2", ".json")


def resolve(reference: str, store: Path, settings: Mapping[str, object] | None = None) -> Side:
    """Find what a reference stands for, and read all of it once. `store` need not be there.

    `settings` are those that the side is served with, by the names of `dyno serve`: they are in the digest.
    What is there as a path is that path; a baseline is meant where nothing is there, or nothing that can
    stand on a side.

    Raises:
        ConfigError: it is nothing that can stand on a side, or a damaged baseline.
        ModelError, ArtifactError: a model or an artifact that is damaged.
    """
    if "://" in reference:
        return _of_url(reference)
    if _exists(reference):
        side = _of_path(reference, store)
    elif "/" not in reference and reference in names(store):
        side = _of_baseline(reference, store)
    elif _HOST_AND_PORT.fullmatch(reference):
        return _of_url(reference)
    else:
        raise _nothing(reference, store)
    return replace(side, digest=digest_named([("files", side.digest), *(settings or {}).items()]))


def _of_url(reference: str) -> Side:
    url = endpoint_url(reference)
    return Side(reference, "url", digest_named([("url", url)]), url, url=url)


def _of_path(reference: str, store: Path) -> Side:
    also = "/" not in reference and reference in names(store)
    try:
        side = _side(reference, content_of(Path(reference)))
    except (ConfigError, ModelError, ArtifactError):
        if also:
            return _of_baseline(reference, store)
        raise
    words = f"{side.detail}; not the baseline {reference}, which is there too: ./{reference} is meant"
    return replace(side, detail=words) if also else side


def _of_baseline(name: str, store: Path) -> Side:
    record, served = checked(store, name)
    content = content_of(served)
    side = _side(name, content)
    words = f"baseline {name} of {record.created_at[:10]}: {side.detail}"
    return replace(side, detail=words, baseline=name)


def _side(reference: str, content: Content) -> Side:
    return Side(reference, content.kind, content.digest, content.detail, path=content.path, content=content)


def _exists(reference: str) -> bool:
    try:
        return bool(reference) and (Path(reference).exists() or Path(reference).is_symlink())
    except (OSError, ValueError):  # a name too long, or with a NUL in it: of nothing that is there
        return False


def _nothing(reference: str, store: Path) -> ConfigError:
    if "/" in reference or reference.endswith(_FILE_ENDINGS):
        return ConfigError(f"{reference} does not exist{_neighbours(reference)}", hint=WHAT_A_SIDE_IS)
    message = unknown_name("file, folder or baseline", reference, [*names(store), *_siblings(Path())])
    return ConfigError(message, hint=WHAT_A_SIDE_IS)


def _neighbours(reference: str) -> str:
    path = Path(reference)
    said = unknown_name("", path.name, _siblings(path.parent))
    near = said.partition("; nearest: ")[2]
    return f" ({path.parent} has {near})" if near else ""


def _siblings(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir())
    except (OSError, ValueError):
        return []
