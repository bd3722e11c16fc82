"""Latency per kind of payload; pure."""

from __future__ import annotations

from collections.abc import Iterator

from modeldyno.base.records.load import PayloadKind
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.units import US_PER_MS
from modeldyno.loadgen.payloads.files import Mix
from modeldyno.loadgen.stats.recording import US_PER_S, Recording
from modeldyno.loadgen.stats.summary import percentiles


def payload_kinds(spec: LoadSpec, recording: Recording, window_s: float, mix: Mix) -> tuple[PayloadKind, ...]:
    """Sum up each kind of a mix; nothing for one body that is sent again and again."""
    if len(mix.kinds) == 1 and len(mix.kinds[0].bodies) == 1:
        return ()
    return tuple(_kinds(spec, recording, window_s, mix))


def _kinds(spec: LoadSpec, recording: Recording, window_s: float, mix: Mix) -> Iterator[PayloadKind]:
    first, end = (round(s * US_PER_S) for s in (spec.warmup_s, spec.warmup_s + window_s))
    inside = (recording.start_us >= first) & (recording.start_us < end)
    failed = (recording.failure_start_us >= first) & (recording.failure_start_us < end)
    total = sum(kind.weight for kind in mix.kinds)
    for number, kind in enumerate(mix.kinds):
        chosen = inside & (recording.payload_kind == number)
        latency_us = recording.latency_us[chosen]
        sizes = [len(body.body) for body in kind.bodies]
        yield PayloadKind(
            name=kind.name,
            share=kind.weight / total,
            bodies=len(sizes),
            bytes_min=min(sizes),
            bytes_max=max(sizes),
            samples=len(latency_us),
            errors=int((failed & (recording.failure_payload == number)).sum()),
            mean_ms=float(latency_us.mean()) / US_PER_MS if len(latency_us) else None,
            percentiles=percentiles(recording.start_us[chosen], latency_us),
        )
