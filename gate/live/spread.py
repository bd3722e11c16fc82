"""What starts differ by on this machine, as a self-test found it: kept for the gates that come after."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from modeldyno.base.errors import DynoError
from modeldyno.base.files import mapped_output_errors
from modeldyno.base.host.cache_folder import cache_folder
from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import HostFacts, Record, read_record, write_record

_MACHINE = ("cpu_model", "architecture", "usable_cores", "threads_per_core", "instance_type", "memory_gib")


class KnownSpread(Record):
    """Between starts of both sides, on one machine."""

    schema_version: int = 1
    created_at: str
    sd: float = Field(ge=0, description="standard deviation of the log ratio between starts of both sides")
    freedoms: int = Field(ge=1, description="independent differences that tell it")
    host: HostFacts


def spread_file(host: HostFacts) -> Path:
    """Where it is kept for a machine: by its CPU, cores and memory."""
    said = "\n".join(f"{name} {getattr(host, name)}" for name in _MACHINE)
    return cache_folder() / "gate" / f"{hashlib.blake2b(said.encode(), digest_size=8).hexdigest()}.json"


def known_spread() -> float | None:
    """Of this machine; None where nothing is known, or what is kept can't be read."""
    path = spread_file(host_facts())
    with suppress(DynoError, OSError):
        if path.exists():
            return read_record(path, KnownSpread).sd
    return None


def keep_spread(found: KnownSpread) -> Path:
    """Keep it for the gates that come after.

    Raises:
        OutputError: the cache folder can't be written.
    """
    path = spread_file(found.host)
    with mapped_output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, found)
    return path
