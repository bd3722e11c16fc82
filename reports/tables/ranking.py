"""The rows of the page's tables: records in, worded numbers out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modeldyno.base.records.levels import level_of
from modeldyno.base.records.load import ErrorGroup, LoadResult, Percentile
from modeldyno.base.records.run import Row, Trial
from modeldyno.reports.answer import cost, p99, throughput, times
from modeldyno.reports.remarks import tainted
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import colours, tags
from modeldyno.reports.results.speedup import BASELINE, speedup
from modeldyno.reports.tables.verdicts import same_as, verdict
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import (
    MISSING,
    TIMES,
    Shown,
    count,
    estimate,
    percentile,
    plain,
    share,
    whole,
)

LOG_LINES = 40
LOG_COLUMNS = 500


@dataclass(frozen=True)
class Line:
    """One row of the ranking."""

    tag: str
    colour: int | None
    instance_type: str
    backend: str
    settings: str
    load: str
    p50: str
    p95: str
    p99: Shown
    throughput: Shown
    error_rate: str
    usd_per_hour: str
    cost: Shown
    speedup: Shown
    cpu: str
    memory: str
    fidelity: str
    samples: str
    best: bool
    tie: bool
    baseline: bool
    tainted: bool
    void: tuple[str, ...]
    verdict: str
    less_sure: bool
    same_as: str
    """Instance type of an earlier row that is the same machine here; empty where there is none."""

    @property
    def all(self) -> tuple[tuple[str, str], ...]:
        """Every number by its name, for where there is no room for a table."""
        return (
            (f"threads {TIMES} workers", self.settings),
            ("load", self.load),
            ("p50, p95, p99", f"{self.p50}, {self.p95}, {self.p99.whole} ms"),
            ("throughput", f"{self.throughput.whole} req/s"),
            ("errors", self.error_rate),
            ("price", f"{self.usd_per_hour} an hour"),
            ("speed-up over ONNX Runtime", self.speedup.whole),
            ("CPU of vCPUs", self.cpu),
            ("memory", f"{self.memory} MiB"),
            ("samples", self.samples),
            ("numbers are", self.fidelity),
        )


@dataclass(frozen=True)
class Rejected:
    """One rejected candidate with what is known of why."""

    line: Line
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    log: str


@dataclass(frozen=True)
class Level:
    """One load test of a candidate."""

    tag: str
    name: str
    load: str
    chosen: bool
    samples: str
    errors: str
    error_rate: str
    throughput: Shown
    percentiles: tuple[Shown, ...]
    spread: str
    window: str
    server_cores: str
    memory: str
    generator_cores: str
    lateness: str


def lines(run: Run) -> tuple[Line, ...]:
    """Word every row, ranked ones first."""
    shades = colours(run)
    tied = any(row.tied_with_best for row in run.recommendation.ranking[1:])
    return tuple(_line(run, tag, row, shades.get(tag), tied) for tag, row in tags(run))


def rejected(run: Run, every: tuple[Line, ...]) -> tuple[Rejected, ...]:
    """Word each rejected candidate with its reasons and the server's last lines."""
    ranked = len(run.recommendation.ranking)
    pairs = zip(run.recommendation.rejected, every[ranked:], strict=True)
    return tuple(_rejected(run, row, line) for row, line in pairs)


def levels(run: Run) -> tuple[Level, ...]:
    """Word every load test of the run, candidate by candidate."""
    return tuple(
        _level(tag, row, point, chosen=point is run.level(row))
        for tag, row in tags(run)
        for point in run.points(row)
    )


def _line(run: Run, tag: str, row: Row, colour: int | None, tied: bool) -> Line:
    level = run.level(row)
    return Line(
        tag=tag,
        colour=colour,
        instance_type=row.instance_type,
        backend=phrases.backend(row.backend),
        settings=phrases.settings_short(row.settings),
        load=(phrases.load(*level_of(row)) or MISSING) + (", the highest" if row.found_rate else ""),
        p50=_percentile(level, 50.0, row.p50_ms).text,
        p95=_percentile(level, 95.0, row.p95_ms).text,
        p99=_unitless(p99(row)),
        throughput=throughput(row),
        error_rate=share(row.error_rate),
        usd_per_hour=phrases.price(row.usd_per_hour),
        cost=cost(row) if row.valid else Shown(MISSING),
        speedup=_speedup(run, row),
        cpu=share(row.cpu_utilization),
        memory=whole(row.memory_mib),
        fidelity=row.fidelity,
        samples=f"{row.samples:,}",
        best=row.rank == 1 and row.valid,
        tie=row.rank is not None and (row.tied_with_best or (row.rank == 1 and tied)),
        baseline=row.backend == BASELINE,
        tainted=tainted(run, row),
        void=tuple(phrases.said(reason) for reason in row.invalid_reasons),
        verdict=phrases.said(verdict(run, row)),
        less_sure=bool(row.weak),
        same_as=same_as(run, row),
    )


def _speedup(run: Run, row: Row) -> Shown:
    if row.backend == BASELINE:
        return Shown("baseline")
    found = speedup(run, row)
    return times(found) if found else Shown(MISSING)


def _rejected(run: Run, row: Row, line: Line) -> Rejected:
    trial = run.trials.get(row.trial)
    failure = (trial.failure,) if trial and trial.failure else ()
    reasons = tuple(phrases.said(reason) for reason in dict.fromkeys((*row.reasons, *failure)))
    return Rejected(
        line=line,
        reasons=reasons or ("no reason was recorded",),
        errors=_errors(group for point in run.points(row) for group in point.error_groups),
        log=_log(trial),
    )


def _errors(groups: Iterable[ErrorGroup]) -> tuple[str, ...]:
    found: dict[str, int] = {}
    for group in groups:
        status = "no answer" if group.status is None else f"HTTP {group.status}"
        text = f"{status}: {phrases.log_text(group.message)}"
        found[text] = found.get(text, 0) + group.count
    return tuple(f"{count(number, 'request')} failed with {text}" for text, number in found.items())


def _log(trial: Trial | None) -> str:
    if trial is None:
        return ""
    tail = phrases.log_text(trial.server_log_tail).splitlines()[-LOG_LINES:]
    return "\n".join(line if len(line) <= LOG_COLUMNS else line[:LOG_COLUMNS] + " …" for line in tail)


def _level(tag: str, row: Row, point: LoadResult, *, chosen: bool) -> Level:
    return Level(
        tag=tag,
        name=phrases.configuration(row),
        load=phrases.load(*level_of(point.spec)),
        chosen=chosen,
        samples=f"{point.samples:,}",
        errors=f"{point.errors:,}",
        error_rate=share(point.error_rate),
        throughput=estimate(point.throughput_rps),
        percentiles=tuple(percentile(_entry(point, wanted)) for wanted in (50.0, 90.0, 95.0, 99.0, 99.9)),
        spread=" / ".join(plain(value) for value in (point.min_ms, point.mean_ms, point.max_ms)),
        window=plain(point.window_s),
        server_cores=plain(point.server.cpu_cores_mean) if point.server else MISSING,
        memory=whole(point.server.memory_mib_max) if point.server else MISSING,
        generator_cores=plain(point.generator.cpu_cores_mean),
        lateness=plain(point.lateness_p99_ms),
    )


def _percentile(level: LoadResult | None, wanted: float, value: float | None) -> Shown:
    """The row's own value, with the digits that the load test's interval leaves meaning to."""
    entry = _entry(level, wanted) if level else None
    if entry is not None and entry.ms is not None and entry.ms == value:
        return percentile(entry)
    return Shown(plain(value))


def _entry(point: LoadResult, wanted: float) -> Percentile | None:
    return next((entry for entry in point.percentiles if entry.percentile == wanted), None)


def _unitless(found: Shown) -> Shown:
    return Shown(found.text.removesuffix(" ms"), found.interval)
