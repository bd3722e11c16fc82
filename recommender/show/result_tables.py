"""The result of a run as tables on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from modeldyno.base.command.console import print_json, print_table
from modeldyno.base.records.run import Recommendation, Row
from modeldyno.loadgen.spec.stages import load_name
from modeldyno.recommender.show import console_lines
from modeldyno.recommender.show.events import RunPlanned
from modeldyno.recommender.show.month import print_month
from modeldyno.reports.alerts import MOST, Alert, alerts
from modeldyno.reports.answer import answer
from modeldyno.reports.naming import distinct
from modeldyno.reports.results.run_folder import run_of
from modeldyno.reports.text.digits import MISSING, Shown, shown

COLUMNS = (
    *("rank", "instance", "backend", "thr x wrk", "load", "p50 ms", "p99 ms", "req/s", "95 % interval"),
    *("$/h", "$/1M", "95 % interval", "cost / best other", "fidelity", "samples"),
)
NUMBERS = ("rank", "p50 ms", "p99 ms", "req/s", "$/h", "$/1M", "samples")


def print_summary(found: Recommendation, run_dir: Path) -> None:
    """Print the answer first, then the ranking, what was rejected, and the warnings that matter most.

    The report has the rest; both begin with the same sentences.
    """
    run = run_of(found, run_dir)
    for line in answer(run).lines:
        click.echo(line)
    if found.ranking:
        click.echo()
        measured = distinct(run, found.ranking)
        rows = [_cells(row, apart=any(row is one for one in measured)) for row in found.ranking]
        print_table(COLUMNS, rows, right=NUMBERS)
    if found.money:
        print_month(found.money)
    _print_lines("rejected:", [_rejected(row) for row in found.rejected])
    _print_lines("warnings:", _warnings(alerts(run)))
    _print_lines("", _pointers(found))
    click.echo(f"\n{run_dir / 'recommendation.json'}\n{run_dir / 'report.html'}")


def print_plan(event: RunPlanned, *, as_json: bool) -> None:
    """Print what a run would do; one line for each candidate."""
    if as_json:
        print_json(console_lines.plan_facts(event))
        return
    for planned in event.to_measure:
        click.echo(f"would measure: {console_lines.candidate(planned.candidate)}")
    for line in console_lines.plan(event):
        click.echo(line)
    click.echo("dry run: nothing was started or written")


def _cells(row: Row, *, apart: bool) -> tuple[str, ...]:
    """Word a row; `apart`: it is not another name of a machine above, whose ratio is at that one's price."""
    rate = shown(row.throughput_rps, row.throughput_low_rps, row.throughput_high_rps)
    cost = shown(row.usd_per_million, row.usd_per_million_low, row.usd_per_million_high)
    cost = cost if row.valid else Shown(MISSING)
    ratio = shown(row.against_best, row.against_best_low, row.against_best_high)
    return (
        f"{row.rank}{' tie' if row.tied_with_best else ''}" if row.valid else "void",
        row.instance_type,
        row.backend,
        console_lines.settings(row.settings).replace("x", " x ", 1),
        f"{load_name(row)}{' (highest)' if row.found_rate else ''}",
        *(shown(value).text for value in (row.p50_ms, row.p99_ms)),
        rate.text,
        rate.interval,
        f"{row.usd_per_hour:g}",
        cost.text,
        cost.interval,
        ratio.whole if apart else "same machine",
        row.fidelity,
        str(row.samples),
    )


def _rejected(row: Row) -> str:
    return f"{console_lines.candidate(row)}: {'; '.join(row.reasons)}"


def _warnings(found: Sequence[Alert]) -> list[str]:
    more = len(found) - MOST
    rest = [f"and {more} more, in the report"] if more > 0 else []
    return [*(alert.line for alert in found[:MOST]), *rest]


def _pointers(found: Recommendation) -> Iterator[str]:
    """One line for what only some readers want to know."""
    there = (("what emulation leaves out", found.caveats), ("notes", found.notes))
    told = [f"{name} ({len(lines)})" for name, lines in there if lines]
    if told:
        yield f"also in the report: {', '.join(told)}"


def _print_lines(title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    if lines:
        click.echo(f"\n{title}" if title else "")
        for line in lines:
            click.echo(f"  {line}" if title else line)
