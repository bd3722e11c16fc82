"""Side: one of the two that a gate compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modeldyno.base.records.gate import GateSide
from modeldyno.gate.content.records import Content

SideKind = Literal["model", "artifact", "server folder", "url", "saved run"]


@dataclass(frozen=True)
class Side:
    """What a reference stands for.

    reference: as the user named it.
    kind: what it is; of a baseline, what its copy is.
    digest: BLAKE2b-256 over all that its server reads, and the server's settings; of a URL, over the URL.
    detail: what it resolved to, in words.
    path: what `dyno serve` is given, or the file of a saved run; None of a URL.
    url: None of all others.
    baseline: its name in the store; empty where it is not from there.
    content: its files; None of a URL.
    """

    reference: str
    kind: SideKind
    digest: str
    detail: str
    path: Path | None = None
    url: str | None = None
    baseline: str = ""
    content: Content | None = None

    @property
    def served(self) -> bool:
        """Whether a server of it can be started here."""
        return self.kind not in ("url", "saved run")

    def recorded(self) -> GateSide:
        """Give it as the record of a gate has it, before anything was measured."""
        kind = "baseline" if self.baseline else self.kind
        return GateSide(reference=self.reference, kind=kind, digest=self.digest, detail=self.detail)
