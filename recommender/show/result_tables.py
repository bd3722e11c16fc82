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
from modeldyno.reports.text.digits import MISSING, shown

COLUMNS = (
    *("rank", "instance", "backend", "thr x wrk", "load", "p50 ms", "p95 ms", "p99 ms"),
    *("req/s", "95 % interval", "$/h", "$/1M", "95 % interval", "cpu", "MiB", "fidelity", "samples"),
)
NUMBERS = ("rank", "p50 ms", "p95 ms", "p99 ms", "req/s", "$/h", "$/1M", "cpu", "MiB", "samples")


def print_summary(found: Recommendation, run_dir: Path) -> None:
    """Print the ranking, what was rejected and why, what taints the numbers, and where the files are."""
    if found.ranking:
        print_table(COLUMNS, map(_cells, found.ranking), right=NUMBERS)
        for line in _verdict(found.ranking):
            click.echo(line)
    else:
        click.echo("No candidate meets the limits.")
    _print_lines(
        "rejected:", [f"{console_lines.candidate(row)}: {'; '.join(row.reasons)}" for row in found.rejected]
    )
    _print_lines("warnings:", _warnings(found.ranking))
    _print_lines("what emulation leaves out:", found.caveats)
    _print_lines("notes:", found.notes)
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


def _cells(row: Row) -> tuple[str, ...]:
    rate = shown(row.throughput_rps, row.throughput_low_rps, row.throughput_high_rps)
    cost = shown(row.usd_per_million, row.usd_per_million_low, row.usd_per_million_high)
    return (
        f"{row.rank}{' tie' if row.tied_with_best else '' if row.valid else ' void'}",
        row.instance_type,
        row.backend,
        console_lines.settings(row.settings).replace("x", " x ", 1),
        f"{load_name(row)}{' (highest)' if row.found_rate else ''}",
        *(shown(value).text for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
        rate.text,
        rate.interval,
        f"{row.usd_per_hour:g}",
        cost.text,
        cost.interval,
        MISSING if row.cpu_utilization is None else f"{row.cpu_utilization:.0%}",
        MISSING if row.memory_mib is None else f"{row.memory_mib:.0f}",
        row.fidelity,
        str(row.samples),
    )


def _verdict(ranking: Sequence[Row]) -> Iterator[str]:
    void = [row for row in ranking if not row.valid]
    if len(void) == len(ranking):
        yield "No winner: no configuration was measured validly."
    for row in void:
        yield f"Void, behind all valid ones: rank {row.rank}: {'; '.join(row.invalid_reasons)}"
    tied = [str(row.rank) for row in ranking if row.tied_with_best]
    if tied:
        yield f"No single winner: the cost intervals of rank 1 and {', '.join(tied[1:])} overlap."


def _warnings(ranking: Sequence[Row]) -> list[str]:
    """Each warning once, with the ranks that it is about."""
    ranks: dict[str, list[str]] = {}
    for row in ranking:
        for warning in row.warnings:
            ranks.setdefault(warning, []).append(str(row.rank))
    return [f"{warning} (rank {', '.join(numbers)})" for warning, numbers in ranks.items()]


def _print_lines(title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    if lines:
        click.echo(f"\n{title}")
        for line in lines:
            click.echo(f"  {line}")
