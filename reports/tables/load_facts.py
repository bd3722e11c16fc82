"""What the load tests of a run sent, and each kind of a mix of bodies at the ranked load level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modeldyno.base.records.load import LoadResult, PayloadKind
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import ServerSettings
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import tags
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import EN_DASH, Shown, count, percentile, share

KIB = 1024


@dataclass(frozen=True)
class KindLine:
    """The requests with one kind of body, of one configuration."""

    tag: str
    name: str
    load: str
    kind: str
    share: str
    bodies: str
    size: str
    samples: str
    errors: str
    p50: Shown
    p99: Shown


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Say how requests came and what was in them; empty where nothing was measured."""
    points = [point for trial in run.trials.values() for point in trial.points]
    if not points:
        return ()
    searched = any(trial.search is not None for trial in run.trials.values())
    rules = tuple(dict.fromkeys(rule for point in points for rule in point.spec.stop_when))
    named = (
        ("load", _once(_loop(point.spec, searched=searched) for point in points)),
        ("MLPerf scenario", _once(point.spec.scenario or "" for point in points)),
        ("request", _once(_body(point) for point in points)),
        ("time-out", _once(f"{point.spec.timeout_s:g} s" for point in points)),
        ("ended early by", ", ".join(rules)),
        ("server's queue", _once(_queue(trial.candidate.settings) for trial in run.trials.values())),
    )
    return tuple((name, text) for name, text in named if text)


def kinds(run: Run) -> tuple[KindLine, ...]:
    """Word each kind of a mix at each row's own load level."""
    return tuple(
        _kind(tag, phrases.configuration(row), level, kind)
        for tag, row in tags(run)
        if (level := run.level(row)) is not None
        for kind in level.payload_kinds
    )


def _queue(found: ServerSettings) -> str:
    late = (
        "" if found.timeout_ms is None else f"; one that has not begun after {found.timeout_ms:g} ms gets 504"
    )
    return f"{count(found.max_waiting, 'request')} in each process, one more gets 503{late}"


def _once(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _loop(spec: LoadSpec, *, searched: bool) -> str:
    if spec.rate_rps is None:
        return "closed loop: each user waits for the answer before sending again"
    arrivals = {
        "constant": "even arrivals",
        "poisson": "Poisson arrivals",
        "gamma": f"gamma arrivals of burstiness {spec.burstiness:g}",
        "trace": f"arrivals of {phrases.log_text(spec.trace)}",
    }[spec.arrival]
    search = "a search of the highest rate that meets the limits, " if searched else ""
    return f"{search}open loop, where requests leave by a schedule: {arrivals}"


def _body(point: LoadResult) -> str:
    spec = point.spec
    if not spec.payload_bytes:
        return ""
    found = point.payload_kinds
    mean = " on average" if found else ""
    bodies = f"{count(sum(kind.bodies for kind in found), 'body', 'bodies')} of " if found else ""
    named = f"{count(len(found), 'kind')}, {bodies}" if len(found) > 1 else bodies
    return f"{named}{_size(spec.payload_bytes)}{mean}, {phrases.log_text(spec.content_type)}"


def _kind(tag: str, name: str, point: LoadResult, kind: PayloadKind) -> KindLine:
    by_percent = {entry.percentile: entry for entry in kind.percentiles}
    low, high = _size(kind.bytes_min), _size(kind.bytes_max)
    return KindLine(
        tag=tag,
        name=name,
        load=phrases.load(point.spec.users, point.spec.rate_rps, point.spec.stage),
        kind=phrases.log_text(kind.name),
        share=share(kind.share),
        bodies=f"{kind.bodies:,}",
        size=low if low == high else f"{low} {EN_DASH} {high}",
        samples=f"{kind.samples:,}",
        errors=f"{kind.errors:,}",
        p50=percentile(by_percent.get(50.0)),
        p99=percentile(by_percent.get(99.0)),
    )


def _size(size: int) -> str:
    if size < KIB:
        return count(size, "byte")
    return f"{size / KIB:.3g} KiB" if size < BYTES_PER_MIB else f"{size / BYTES_PER_MIB:.3g} MiB"
