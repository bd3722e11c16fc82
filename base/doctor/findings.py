"""What `dyno doctor` finds: one record per question asked of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from modeldyno.base.records.record import Record

Status = Literal["ok", "note", "missing"]


class Finding(Record):
    """One fact about this machine and what it means."""

    group: str = Field(description="heading, e.g. CPU")
    name: str = Field(description="what was looked at; unique")
    status: Status = Field(description="missing: a main command can't work; note: it works, with a drawback")
    text: str
    advice: str = Field(default="", description="what to do about it; empty where nothing is to be done")


def finding(group: str, name: str, status: Status, text: str, advice: str = "") -> Finding:
    """Make a Finding in one line."""
    return Finding(group=group, name=name, status=status, text=text, advice=advice)


def read_text(path: str) -> str:
    """Content of a kernel file, stripped; empty where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
