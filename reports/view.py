"""What the page shows, as plain data: pure functions from a run's records."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.record import HostFacts
from modeldyno.base.records.run import Row
from modeldyno.reports import remarks
from modeldyno.reports.alerts import MOST, Alert, alerts
from modeldyno.reports.answer import Answer, answer, cost
from modeldyno.reports.remarks import Remark
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import Bar, Series, all_series, colours, tags
from modeldyno.reports.results.speedup import BASELINE
from modeldyno.reports.tables import compiled as compiling
from modeldyno.reports.tables import method
from modeldyno.reports.tables.endings import Ending, endings
from modeldyno.reports.tables.load_facts import KindLine, facts, kinds
from modeldyno.reports.tables.ranking import Level, Line, Rejected, levels, lines, rejected
from modeldyno.reports.tables.searches import Search, searches
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import MISSING, TIMES, count, figures

MOST_BARS = 16


@dataclass(frozen=True)
class Price:
    """Where an instance type's price and shape come from."""

    instance_type: str
    shape: str
    cpu_model: str
    usd_per_hour: str
    date: str
    source: str


@dataclass(frozen=True)
class View:
    """Everything on the page but the drawings."""

    model: str
    digest: str
    made_at: str
    host_line: str
    answer: Answer
    first_alerts: tuple[Alert, ...]
    more_alerts: int
    alerts: tuple[Alert, ...]
    """The run's own, by rank."""
    limits: tuple[str, ...]
    ranking: tuple[Line, ...]
    void: tuple[Line, ...]
    in_turns: bool
    """Whether candidates were measured side by side."""
    method: tuple[tuple[str, str], ...]
    command: str
    job: str
    rejected: tuple[Rejected, ...]
    series: tuple[Series, ...]
    warnings: tuple[Remark, ...]
    emulation: tuple[Remark, ...]
    notes: tuple[str, ...]
    rps_methods: tuple[str, ...]
    worked_example: str
    prices: tuple[Price, ...]
    compiled: compiling.Facts
    kernels: compiling.Kernels | None
    axes: tuple[str, ...]
    shapes: tuple[tuple[str, str, str], ...]
    """Of each shape that was compiled: its sizes, ms of a full run, share of padding at worst."""
    sent: tuple[tuple[str, str], ...]
    kinds: tuple[KindLine, ...]
    searches: tuple[Search, ...]
    host: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    levels: tuple[Level, ...]
    endings: tuple[Ending, ...]
    most_bars: int = MOST_BARS


def view(run: Run) -> View:
    """Build the page's content."""
    found = run.recommendation
    series = all_series(run)
    every, every_alert = lines(run), alerts(run)
    return View(
        model=found.model,
        digest=found.model_digest,
        made_at=phrases.moment(found.created_at),
        host_line=_host_line(found.host),
        answer=answer(run),
        first_alerts=every_alert[:MOST],
        more_alerts=max(0, len(every_alert) - MOST),
        alerts=tuple(one for one in every_alert if one.advice or one.rank != "note"),
        limits=phrases.limits(found.limits),
        ranking=tuple(line for line in every[: len(found.ranking)] if not line.void),
        void=tuple(line for line in every[: len(found.ranking)] if line.void),
        in_turns=found.comparison is not None,
        method=method.method(run),
        command=method.command(run),
        job=phrases.log_text(run.job),
        rejected=rejected(run, every),
        series=series,
        warnings=remarks.warnings(run),
        emulation=remarks.notes(run),
        notes=tuple(phrases.log_text(note) for note in found.notes),
        rps_methods=_rps_methods(run),
        worked_example=_worked_example(run),
        prices=_prices(run),
        compiled=compiling.compiled(run),
        kernels=compiling.kernels(run),
        axes=found.compiled.axes if found.compiled else (),
        shapes=compiling.shapes(found.compiled),
        sent=facts(run),
        kinds=kinds(run),
        searches=searches(run),
        host=_host(found.host),
        packages=tuple(sorted(found.host.packages.items())),
        levels=levels(run),
        endings=endings(run),
    )


def bars(run: Run) -> tuple[Bar, ...]:
    """Return the cost chart's bars: the ranked rows, or where there are none the rejected ones by cost."""
    priced = [(tag, row) for tag, row in tags(run) if row.usd_per_million is not None and row.valid]
    pairs = [(tag, row) for tag, row in priced if row.rank]
    if not run.recommendation.ranking:
        pairs = sorted(priced, key=lambda pair: pair[1].usd_per_million or 0.0)
    alone = not any(row.tied_with_best for _, row in pairs[1:])
    shades = colours(run)
    return tuple(_bar(tag, row, shades.get(tag, 0), alone) for tag, row in pairs[:MOST_BARS])


def _bar(tag: str, row: Row, colour: int, alone: bool) -> Bar:
    with_best = row.rank == 1 or row.tied_with_best
    number = cost(row)
    interval = f" ({number.interval})" if number.interval else ""
    return Bar(
        label=f"{tag} · {phrases.configuration(row)}",
        value=row.usd_per_million if row.usd_per_million is not None else float("nan"),
        low=row.usd_per_million_low,
        high=row.usd_per_million_high,
        text=f"{number.text}{interval}" + (" tie" if with_best and not alone else ""),
        colour=colour,
        best=row.rank == 1 and row.valid,
        baseline=row.backend == BASELINE,
    )


def _rps_methods(run: Run) -> tuple[str, ...]:
    found = {point.throughput_rps.method for trial in run.trials.values() for point in trial.points}
    return tuple(sorted(found))


def _worked_example(run: Run) -> str:
    """Work the best row's cost by hand; empty when there is none."""
    for row in run.recommendation.ranking[:1]:
        if row.valid and row.throughput_rps and row.usd_per_million is not None:
            below = f"({figures(row.throughput_rps)} {TIMES} 3600)"
            return f"${row.usd_per_hour:g} / {below} {TIMES} 1,000,000 = ${figures(row.usd_per_million)}"
    return ""


def _prices(run: Run) -> tuple[Price, ...]:
    instances = {trial.instance.instance_type: trial.instance for trial in run.trials.values()}
    return tuple(
        Price(
            instance_type=one.instance_type,
            shape=f"{count(one.vcpus, 'vCPU')}, {one.memory_gib:g} GiB, {one.architecture}",
            cpu_model=one.cpu_model or MISSING,
            usd_per_hour=phrases.price(one.usd_per_hour),
            date=one.price_date,
            source=one.price_source,
        )
        for _, one in sorted(instances.items())
    )


def _host_line(host: HostFacts) -> str:
    cores = f"{host.usable_cores} of {count(host.logical_cores, 'core')} usable"
    where = f"{host.instance_type}, " if host.instance_type else ""
    return f"{where}{host.cpu_model}, {cores}, {host.memory_gib:g} GiB"


def _host(host: HostFacts) -> tuple[tuple[str, str], ...]:
    return (
        ("processor", host.cpu_model),
        ("architecture", host.architecture),
        (
            "logical cores",
            f"{host.logical_cores} ({host.usable_cores} usable)",
        ),
        ("hardware threads a core", str(host.threads_per_core)),
        ("vector extensions", ", ".join(host.cpu_features) or "none known"),
        ("memory", f"{host.memory_gib:g} GiB"),
        ("GPUs", ", ".join(host.gpus) or "none"),
        ("instance type", host.instance_type or "not a known cloud machine"),
        ("kernel", host.kernel),
        ("Python", host.python),
    )
