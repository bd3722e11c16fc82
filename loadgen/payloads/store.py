"""A mix of payloads in the folder of a load test: one file of bodies, and one that says where each begins."""

from __future__ import annotations

from pathlib import Path

from modeldyno.base.files import write_bytes
from modeldyno.base.records.record import Record, read_record, write_record
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Kind, Mix


class _StoredBody(Record):
    size: int
    content_type: str


class _StoredKind(Record):
    name: str
    weight: float
    bodies: tuple[_StoredBody, ...]


class _StoredMix(Record):
    kinds: tuple[_StoredKind, ...]


def save_mix(mix: Mix, bodies: Path, index: Path) -> None:
    """Write a mix."""
    every = [body for kind in mix.kinds for body in kind.bodies]
    write_bytes(bodies, b"".join(body.body for body in every))
    kinds = tuple(
        _StoredKind(
            name=kind.name,
            weight=kind.weight,
            bodies=tuple(
                _StoredBody(size=len(body.body), content_type=body.content_type) for body in kind.bodies
            ),
        )
        for kind in mix.kinds
    )
    write_record(index, _StoredMix(kinds=kinds))


def load_mix(bodies: Path, index: Path) -> Mix:
    """Read a mix back."""
    with bodies.open("rb") as stream:
        return Mix(
            tuple(
                Kind(
                    kind.name,
                    kind.weight,
                    tuple(Payload(stream.read(body.size), body.content_type) for body in kind.bodies),
                )
                for kind in read_record(index, _StoredMix).kinds
            )
        )
