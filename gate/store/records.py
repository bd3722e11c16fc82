"""Baseline: the record beside a copy."""

from __future__ import annotations

from typing import Literal

from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import HostFacts, Record

RECORD_NAME, CONTENT_NAME = "baseline.json", "content"


class Baseline(Record):
    """`baseline.json`: what a name stands for. The copy lies beside it, in `content`."""

    schema_version: Literal[1] = 1
    name: str
    kind: Literal["model", "artifact", "server folder", "saved run"]
    digest: str = Field(
        description="BLAKE2b-256 over what its server reads, when it was saved; a gate takes it anew"
    )
    detail: str = Field(description="what it is, in words")
    reference: str = Field(description="what it was copied from, as the user named it")
    created_at: str = Field(description="ISO 8601, UTC")
    served: str = Field(description="what of `content` is given to `dyno serve`; . is all of it")
    bytes: int = Field(description="size of all files")
    files: dict[str, str] = Field(description="BLAKE2b-256 of each file, by its place in `content`")
    host: HostFacts = Field(description="where it was saved, with the versions there")
