"""What a month of the job's traffic costs, on the console."""

from __future__ import annotations

from collections.abc import Iterator

import click

from modeldyno.base.command.console import print_table
from modeldyno.base.records.money import CandidateCost, FleetCost, Money
from modeldyno.reports.text.digits import TIMES

COLUMNS = ("candidate", "req/s each", "at the peak", "$/month", "$/1M", "idle", "by the hour", "$/month ")
NUMBERS = ("req/s each", "at the peak", "$/month", "$/1M", "idle", "$/month ")
MOST_ROWS = 6
LATER = ("asynchronous", "batch")
"""Patterns whose requests wait for minutes."""


def print_month(found: Money) -> None:
    """Print the answer, a row for each of the cheapest candidates, and what would change it."""
    click.echo()
    for line in lines(found):
        click.echo(line)
    if found.candidates:
        click.echo()
        print_table(COLUMNS, map(_cells, found.candidates[:MOST_ROWS]), right=NUMBERS)


def lines(found: Money) -> Iterator[str]:
    """The sentences of the answer."""
    yield found.answer
    flips = [each for each in found.flips if each.changed]
    if flips:
        yield "It would be another with " + "; ".join(f"{each.what}: {each.text}" for each in flips) + "."
    ends = (("at or below", found.flips_below_rps), ("above", found.flips_above_rps))
    loads = [f"{word} {rate:.4g} requests/s at the peak" for word, rate in ends if rate is not None]
    if loads:
        yield f"Another is the cheapest {' and '.join(loads)}."
    if found.mix:
        yield f"Two types are cheaper: {found.mix.text}."
    yield from _cheaper_pattern(found)
    yield from (each.text for each in found.replays)
    yield from found.notes


def _cheaper_pattern(found: Money) -> Iterator[str]:
    """The cheapest pattern that answers at once, where that is not instances all the time."""
    at_once = [
        each for each in found.patterns if each.usd_per_month is not None and each.pattern not in LATER
    ]
    best = min(at_once, key=lambda each: each.usd_per_month or 0.0, default=None)
    if best and best.pattern != "real-time":
        below = (
            f", cheaper than one instance below {best.crossover_rps:.3g} requests/s"
            if best.crossover_rps
            else ""
        )
        yield (
            f"{best.pattern} would cost ${best.usd_per_month:,.2f} a month ({best.text}{below}); assumed: "
            + ("; ".join(best.assumed))
        )


def _cells(cost: CandidateCost) -> tuple[str, ...]:
    return (
        cost.trial,
        f"{cost.capacity_rps:.4g}",
        str(cost.fixed.most),
        f"{cost.fixed.usd_per_month:,.2f}",
        f"{cost.fixed.usd_per_million:.3g}",
        f"{cost.fixed.idle_share:.0%}",
        _span(cost.scaled),
        f"{cost.scaled.usd_per_month:,.2f}",
    )


def _span(fleet: FleetCost) -> str:
    return f"{fleet.least} to {fleet.most}" if fleet.least < fleet.most else f"{TIMES} {fleet.most}"
