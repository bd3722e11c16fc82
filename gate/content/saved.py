"""A saved run: what a `dyno load` or a `dyno gate` measured at another time. Numbers, and no server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateRecord
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import HostFacts, read_record

_MADE_BY = "`dyno load -o FILE` and `dyno gate` write such files"


@dataclass(frozen=True)
class Figure:
    """One number, and its 95 % interval; the ends are None where it has none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SavedRun:
    """What was measured, when, on which machine, and how it was loaded.

    figures: by the names that metrics of a gate have.
    load: what has to be the same for numbers to be compared, by name, in words.
    """

    taken_at: str
    host: HostFacts
    load: dict[str, str]
    figures: dict[str, Figure]


def read_saved(path: Path) -> SavedRun:
    """Read the file of a load test or a gate.

    Raises:
        ConfigError: it is neither, or the load test is void.
    """
    document = _document(path)
    if {"verdict", "baseline", "candidate"} <= document.keys():
        return saved_of_gate(read_record(path, GateRecord))
    if {"spec", "percentiles"} <= document.keys():
        return saved_of_load(read_record(path, LoadResult), str(path))
    raise ConfigError(f"{path} is neither the result of a load test nor that of a gate", hint=_MADE_BY)


def saved_of_load(result: LoadResult, name: str = "the saved run") -> SavedRun:
    """Give a load test's figures.

    Raises:
        ConfigError: it is void.
    """
    if not result.valid:
        raise ConfigError(
            f"{name} is a void load test: {result.invalid_reasons[0]}", hint="measure it again, and save that"
        )
    rate = result.throughput_rps
    percentiles = {
        f"p{entry.percentile:g}_ms": Figure(entry.ms, entry.low_ms, entry.high_ms)
        for entry in result.percentiles
        if entry.ms is not None
    }
    spec = result.spec
    load = {
        "users": "" if spec.users is None else str(spec.users),
        "rate_rps": "" if spec.rate_rps is None else f"{spec.rate_rps:g}",
        "content_type": spec.content_type,
        "payload_bytes": str(spec.payload_bytes),
    }
    figures = {**percentiles, "throughput_rps": Figure(rate.value, rate.low, rate.high)}
    return SavedRun(result.started_at, result.host, load, figures)


def saved_of_gate(record: GateRecord) -> SavedRun:
    """Give what a gate measured of its candidate: values without intervals, which are of the ratios there."""
    figures = {
        each.metric: Figure(each.candidate)
        for each in record.metrics
        if each.candidate is not None and not each.exact
    }
    rate = record.load.rate_rps
    load = {
        "users": "" if record.load.users is None else str(record.load.users),
        "rate_rps": "" if rate is None else f"{rate:g}",
    }
    return SavedRun(record.created_at, record.host, load, figures)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no saved run: it holds no JSON object", hint=_MADE_BY)
    return document
