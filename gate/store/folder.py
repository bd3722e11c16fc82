"""The store: DIR/NAME has a copy and its record, and is written whole or not at all.

Nothing in a copy leads out of it: links are followed when it is made. Its files are compared with the digests
of the record before it is used.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from modeldyno.base.digests import CHUNK_BYTES, digest_file
from modeldyno.base.errors import ConfigError, unknown_name
from modeldyno.base.files import mapped_output_errors, staged_folder
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.record import read_record, write_record
from modeldyno.gate.content.read import content_of
from modeldyno.gate.content.records import Content
from modeldyno.gate.store.records import CONTENT_NAME, RECORD_NAME, Baseline

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def utc_now() -> datetime:
    """Give the time."""
    return datetime.now(UTC)


def check_name(name: str) -> str:
    """Give the name back.

    Raises:
        ConfigError: no baseline can have it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"a baseline can't have the name {name!r}: expected letters, digits, dots, dashes and "
            "underscores, a letter or digit first"
        )
    return name


def save(
    store: Path, name: str, content: Content, reference: str, now: Callable[[], datetime] = utc_now
) -> Baseline:
    """Copy `content` into the store under `name`; what had that name is replaced.

    Raises:
        ConfigError: the name is none, or a file changed while all were copied, or can't be read.
        OutputError: the disk is full, or the folder can't be written.
    """
    with staged_folder(store / check_name(name)) as stage:
        inner = stage / CONTENT_NAME
        with mapped_output_errors(store / name):
            inner.mkdir()
            files = {str(place): _copied(source, inner / place) for place, source in content.files}
        copy = content_of(inner / content.served)
        if copy.digest != content.digest:
            raise ConfigError(f"{content.path} changed while it was copied: save it again")
        record = Baseline(
            name=name,
            kind=content.kind,
            digest=content.digest,
            detail=content.detail,
            reference=reference,
            created_at=now().isoformat(timespec="seconds"),
            served=str(content.served),
            bytes=copy.bytes,
            files=files,
            host=host_facts(),
        )
        write_record(stage / RECORD_NAME, record)
    return record


def _copied(source: Path, goal: Path) -> str:
    """Copy one file, with its rights; give the digest of what was written."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    state = hashlib.blake2b(digest_size=32)
    try:
        stream = source.open("rb")
    except OSError as error:
        raise ConfigError(f"cannot read {source}: {error.strerror or error}") from error
    with stream as read, goal.open("xb") as write:
        while chunk := read.read(CHUNK_BYTES):
            state.update(chunk)
            write.write(chunk)
        write.flush()
        os.fsync(write.fileno())
    shutil.copymode(source, goal)
    goal.chmod(goal.stat().st_mode | 0o600)  # a copy of what is read-only can be removed again
    return state.hexdigest()


def names(store: Path) -> tuple[str, ...]:
    """Give the names in the store, in order."""
    if not store.is_dir():
        return ()
    return tuple(
        sorted(each.name for each in store.iterdir() if _NAME.fullmatch(each.name) and each.is_dir())
    )


def baselines(store: Path) -> Iterator[tuple[str, Baseline | ConfigError]]:
    """Give each name with its record, or with what is wrong with that."""
    for name in names(store):
        try:
            yield name, read(store, name)
        except ConfigError as error:
            yield name, error


def read(store: Path, name: str) -> Baseline:
    """Read the record of a baseline; its copy is not looked at.

    Raises:
        ConfigError: there is none of this name, or its record is damaged.
    """
    known = names(store)
    if name not in known:
        hint = "`dyno baseline save NAME REF` makes one" if not known else "`dyno baseline list` shows all"
        raise ConfigError(f"{unknown_name('baseline', name, known)} in {store}", hint=hint)
    return read_record(store / name / RECORD_NAME, Baseline)


def checked(store: Path, name: str) -> tuple[Baseline, Path]:
    """Read a baseline, compare every file with its digest, and give what of it is served.

    Raises:
        ConfigError: there is none of this name, or a file is missing, was changed or was added.
    """
    record = read(store, name)
    inner = store / name / CONTENT_NAME
    found = {str(path.relative_to(inner)): path for path in inner.rglob("*") if not path.is_dir()}
    if wrong := next(_differences(record, found), ""):
        raise ConfigError(
            f"the baseline {name!r} in {store} is damaged: {wrong}",
            hint=f"save it again: `dyno baseline save {name} REF`",
        )
    return record, inner / record.served


def _differences(record: Baseline, found: dict[str, Path]) -> Iterator[str]:
    for name in sorted(record.files.keys() - found.keys()):
        yield f"{name} is missing"
    for name in sorted(found.keys() - record.files.keys()):
        yield f"{name} was not saved with it"
    for name, digest in record.files.items():
        if digest_file(found[name]) != digest:
            yield f"{name} was changed"


def remove(store: Path, name: str) -> None:
    """Remove a baseline, also a damaged one: from one moment to the next it is not there any more.

    Raises:
        ConfigError: there is none of this name.
        OutputError: it can't be removed.
    """
    if name not in names(store):
        read(store, name)
    with mapped_output_errors(store / name):
        grave = Path(tempfile.mkdtemp(dir=store, prefix=f".{name}."))
        try:
            (store / name).rename(grave / name)
        finally:
            shutil.rmtree(grave, ignore_errors=True)
