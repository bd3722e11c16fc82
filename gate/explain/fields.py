"""Where two manifests and two sets of server settings differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from modeldyno.base.records.gate import FieldChange
from modeldyno.runtime.records.manifest import Manifest

NONE = "-"
_MOST_LETTERS = 120
# What differs between any two compiles, is judged by a rule of its own, or repeats what is told by names.
_UNTOLD = frozenset(("created_at", "stages", "manifest_digest", "parity", "kernels", "segments", "guards"))
_WITHIN = {"weights": ("tensors",), "buckets": ("buckets", "axes"), "tuning": ("faster",)}


def field_changes(
    baseline: Manifest | None,
    candidate: Manifest | None,
    baseline_settings: Mapping[str, object] | None = None,
    candidate_settings: Mapping[str, object] | None = None,
) -> tuple[FieldChange, ...]:
    """Give each field that differs: settings (`server.NAME`), what a manifest says, kernels by name.

    Times, parity and the tables of weights are left out. A side that is no artifact has no manifest (None):
    then only settings are compared.
    """
    before, now = (_settings(each or {}) for each in (baseline_settings, candidate_settings))
    if baseline is not None and candidate is not None:
        before |= dict(_told(baseline))
        now |= dict(_told(candidate))
    return tuple(
        FieldChange(field=name, baseline=before.get(name, NONE), candidate=now.get(name, NONE))
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    )


def _settings(settings: Mapping[str, object]) -> dict[str, str]:
    return {f"server.{name}": str(value) for name, value in settings.items()}


def _told(manifest: Manifest) -> Iterator[tuple[str, str]]:
    said = manifest.model_dump(mode="json")
    for name, value in said.items():
        if name not in _UNTOLD:
            yield from _flat(name, _without(value, _WITHIN.get(name, ())))
    for segment in manifest.segments:
        yield f"segments.{segment.path}", f"{segment.operators} operators, {segment.engine}"
    for bucket in manifest.buckets.buckets if manifest.buckets else ():
        yield f"buckets.{bucket.folder}", f"{bucket.library_bytes} bytes"
    for kernel in manifest.kernels:
        work = "" if kernel.flops is None else f", {kernel.flops / 1e6:.4g} MFLOP"
        yield f"kernels.{kernel.name}", f"{kernel.calls} x {kernel.kind}{work}, {kernel.bytes} bytes"


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in value.items() if name not in names}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(f"{name}.{key}", each)
    elif isinstance(value, list):
        plain = all(isinstance(each, str | int | float) for each in value)
        yield name, _cut(", ".join(map(str, value)) if plain else json.dumps(value))
    else:
        yield name, _cut(NONE if value is None else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
