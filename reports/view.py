"""What the page shows, as plain data: pure functions from a run's records."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.compiling import CompileSummary
from modeldyno.base.records.record import HostFacts
from modeldyno.base.records.run import Row
from modeldyno.base.units import percent, short_duration
from modeldyno.reports import remarks
from modeldyno.reports.answer import Answer, answer, cost
from modeldyno.reports.remarks import Remark
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.series import Bar, Series, all_series, tags
from modeldyno.reports.results.speedup import BASELINE
from modeldyno.reports.tables.endings import Ending, endings
from modeldyno.reports.tables.load_facts import KindLine, facts, kinds
from modeldyno.reports.tables.ranking import Level, Line, Rejected, levels, lines, rejected
from modeldyno.reports.tables.searches import Search, searches
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import MISSING, TIMES, count, plain, share

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
    limits: tuple[str, ...]
    ranking: tuple[Line, ...]
    rejected: tuple[Rejected, ...]
    series: tuple[Series, ...]
    warnings: tuple[Remark, ...]
    emulation: tuple[Remark, ...]
    notes: tuple[str, ...]
    rps_methods: tuple[str, ...]
    worked_example: str
    prices: tuple[Price, ...]
    compiled: tuple[tuple[str, str], ...]
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
    every = lines(run, series)
    return View(
        model=found.model,
        digest=found.model_digest,
        made_at=phrases.moment(found.created_at),
        host_line=_host_line(found.host),
        answer=answer(run),
        limits=phrases.limits(found.limits),
        ranking=every[: len(found.ranking)],
        rejected=rejected(run, every),
        series=series,
        warnings=remarks.warnings(run),
        emulation=remarks.notes(run),
        notes=tuple(phrases.log_text(note) for note in found.notes),
        rps_methods=_rps_methods(run),
        worked_example=_worked_example(run),
        prices=_prices(run),
        compiled=_compiled(run),
        axes=found.compiled.axes if found.compiled else (),
        shapes=_shapes(found.compiled),
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
    priced = [(tag, row) for tag, row in tags(run) if row.usd_per_million is not None]
    pairs = [(tag, row) for tag, row in priced if row.rank]
    if not run.recommendation.ranking:
        pairs = sorted(priced, key=lambda pair: pair[1].usd_per_million or 0.0)
    alone = not any(row.tied_with_best for _, row in pairs[1:])
    colours = {one.tag: one.colour for one in all_series(run)}
    return tuple(_bar(tag, row, colours.get(tag, 0), alone) for tag, row in pairs[:MOST_BARS])


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
        if row.throughput_rps and row.usd_per_million is not None:
            below = f"({row.throughput_rps:.4g} {TIMES} 3600)"
            return f"${row.usd_per_hour:g} / {below} {TIMES} 1,000,000 = ${row.usd_per_million:.4g}"
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


OPTIONS = {
    "winograd": "Winograd convolutions",
    "tolerance": "accepted difference, beside rounding",
    "tune_s": "seconds to tune in",
    "tuning_records": "earlier tuning used",
    "fallback": "fallback",
    "min_compiled": "least share of FLOPs compiled",
}


def _options(chosen: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Word what was chosen; the target stands above with its full name."""
    return tuple((OPTIONS.get(name, name), value) for name, value in chosen.items() if name != "target")


def _shapes(summary: CompileSummary | None) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (one.sizes, plain(one.p50_ms), share(one.padding_share) if one.padding_share else "none")
        for one in (summary.shapes if summary else ())
    )


def _compiled(run: Run) -> tuple[tuple[str, str], ...]:
    summary = run.recommendation.compiled
    if summary is None:
        return ()
    return (
        ("target", summary.target),
        *_options(summary.options),
        *((("kernels", summary.tuning),) if summary.tuning else ()),
        ("compile time", short_duration(summary.seconds)),
        *_shares(summary),
        ("largest absolute difference", f"{summary.max_abs:.3g}"),
        ("largest relative difference", f"{summary.max_rel:.3g} (of the largest expected value)"),
        ("cosine similarity", f"{summary.cosine:.7f}"),
        *((("compared on inputs of the kinds", ", ".join(summary.samples)),) if summary.samples else ()),
        *((("not decided by the check", ", ".join(summary.undecided)),) if summary.undecided else ()),
    )


def _shares(facts: CompileSummary) -> tuple[tuple[str, str], ...]:
    """How much is compiled; nothing where the record does not say."""
    if facts.operators_share is None:
        return ()
    of_flops = "not known" if facts.flops_share is None else percent(facts.flops_share)
    shares = (("operators compiled", percent(facts.operators_share)), ("FLOPs compiled", of_flops))
    return (*shares, ("run in ONNX Runtime", ", ".join(facts.fallback))) if facts.fallback else shares


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
