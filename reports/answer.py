"""The answer of a run in one sentence, and what a reader asks next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeldyno.base.records.levels import level_of
from modeldyno.base.records.run import Row
from modeldyno.reports.certainty import how_sure, settled_by, what_could_change
from modeldyno.reports.naming import alike, distinct, full_name, types, types_open
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.speedup import BASELINE, Ratio, speedup
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import MISSING, TIMES, Shown, count, decimals, fixed, shown

MOST_NAMED = 3


@dataclass(frozen=True)
class Answer:
    """`kind` is `winner`, `tie` or `none`; `details` are sentences of their own."""

    kind: str
    headline: str
    sure: str = ""
    """How sure it is; of a tie what would settle it."""
    change: str = ""
    """What could change it."""
    details: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What the page and the console both begin with."""
        return tuple(line for line in (self.headline, self.sure, self.change) if line)


def answer(run: Run) -> Answer:
    """Say which configuration to run, which are not told apart, or that none meets the limits."""
    ranking = run.recommendation.ranking
    if not ranking:
        return Answer("none", _none(run), details=_pointer_to_rejected(run))
    valid = distinct(run, [row for row in ranking if row.valid])
    if not valid:
        return Answer("none", _void(ranking), details=(*dict.fromkeys(_void_reasons(ranking)),))
    tied = [valid[0], *(row for row in valid[1:] if row.tied_with_best)]
    change, details = what_could_change(run, tied), _details(run, tied, valid)
    if len(tied) == 1:
        return Answer("winner", _winner(run, tied[0]), how_sure(run, tied[0]), change, details)
    return Answer("tie", _tie(run, tied), settled_by(run), change, details)


def _void(ranking: Sequence[Row]) -> str:
    within = f"{count(len(ranking), 'configuration')} seemed to meet the limits"
    return f"No configuration was measured validly: {within}, but their load tests are void."


def _void_reasons(ranking: Sequence[Row]) -> list[str]:
    return [phrases.said(reason) for row in ranking for reason in row.invalid_reasons]


def cost(row: Row) -> Shown:
    """Word a row's cost per million requests."""
    return shown(row.usd_per_million, row.usd_per_million_low, row.usd_per_million_high, "$")


def p99(row: Row) -> Shown:
    """Word a row's 99th percentile."""
    return shown(row.p99_ms, row.p99_low_ms, row.p99_high_ms, "ms")


def throughput(row: Row) -> Shown:
    """Word a row's throughput, without the unit."""
    return shown(row.throughput_rps, row.throughput_low_rps, row.throughput_high_rps)


def times(found: Ratio) -> Shown:
    """Word a ratio: its value and interval, or that it is a tie."""
    number = shown(found.value, found.low, found.high)
    return Shown("tie", number.interval) if found.tie else Shown(f"{number.text}{TIMES}", number.interval)


def _winner(run: Run, row: Row) -> str:
    rows = alike(run, row) if types_open(run, row) else [row]
    return f"Run it on {full_name(run, row)}: {_cost_words(rows)} at {_p99_words(row)}, {_fidelity([row])}."


def _tie(run: Run, tied: Sequence[Row]) -> str:
    named = [full_name(run, row) for row in tied[:MOST_NAMED]]
    more = len(tied) - MOST_NAMED
    who = "; ".join(named) if any("," in name for name in named) else ", ".join(named)
    who += f" and {more} more" if more > 0 else ""
    rows = [each for row in tied for each in alike(run, row)]
    return f"Not told apart: {who}. They cost {_span(rows)} per million requests, {_fidelity(tied)}."


def _span(rows: Sequence[Row]) -> str:
    """From the lowest to the highest cost that the rows' intervals leave possible."""
    lows = [end for row in rows if (end := _first(row.usd_per_million_low, row.usd_per_million)) is not None]
    highs = [
        end for row in rows if (end := _first(row.usd_per_million_high, row.usd_per_million)) is not None
    ]
    if not lows or not highs:
        return "an amount not known"
    low, high = min(lows), max(highs)
    digits = decimals((low + high) / 2, low, high)
    return f"${fixed(low, digits)} to ${fixed(high, digits)}"


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _none(run: Run) -> str:
    rejected = run.recommendation.rejected
    if not rejected:
        return "Nothing was measured: this run holds no configuration."
    unmeasured = sum(1 for row in rejected if not row.samples)
    tried = f"{count(len(rejected), 'was', 'were')} tried"
    if unmeasured == len(rejected):
        return f"No configuration meets the limits: {tried}, and none could be measured."
    failed = f", {unmeasured} of them without a measurement" if unmeasured else ""
    return f"No configuration meets the limits: {tried}{failed}, {_fidelity(rejected)}."


def _details(run: Run, tied: Sequence[Row], valid: Sequence[Row]) -> tuple[str, ...]:
    best = tied[0]
    found = [_settings(best)] if len(tied) == 1 else []
    found += _speedup(run, best)
    if same := _same_machine(run, best):
        found.append(same)
    others = [row for row in valid if row not in tied]
    if others:
        found.append(f"Next: {phrases.configuration(others[0])} at {cost(others[0]).whole} per million.")
    elif len(run.rows) == 1:
        found.append("It is the only configuration that was tried.")
    return tuple(found)


def _same_machine(run: Run, best: Row) -> str:
    """Say of a single type that is named what it was chosen among."""
    names = [one.instance_type for one in alike(run, best) if one is not best]
    if not names or types_open(run, best):
        return ""
    return (
        f"{best.instance_type} is one machine here with {types(names)}: measured once, chosen by price and "
        "projected speed."
    )


def _settings(row: Row) -> str:
    load = phrases.load(*level_of(row))
    under = f" under {load}" if load else ""
    if row.found_rate:
        rate = f"{throughput(row).whole} requests a second"
        where = f"Server settings: {phrases.settings(row.settings)}"
        return f"{where}; the highest rate that meets the limits: {rate}."
    rps = f", {throughput(row).whole} requests a second" if row.throughput_rps is not None else ""
    return f"Server settings: {phrases.settings(row.settings)}{under}{rps}."


def _speedup(run: Run, best: Row) -> list[str]:
    """Compare compiled with uncompiled on the best row's instance type, whichever of the two won."""
    if best.backend != BASELINE:
        found, subject = speedup(run, best), "The compiled model"
    else:
        there = [row for row in run.rows if row.instance_type == best.instance_type]
        ratios = [ratio for row in there if (ratio := speedup(run, row)) is not None]
        found = max(ratios, key=lambda ratio: ratio.value, default=None)
        subject = "The compiled model there"
    if found is None:
        return []
    load = "at its own highest rate" if best.found_rate else "under the same load"
    turns = f", in {count(found.rounds, 'shared round')}" if found.rounds else ""
    where = f"ONNX Runtime ({found.against}) on the same instance type {load}"
    if found.tie:
        return [
            f"{subject} and {where} are not told apart in throughput: ratio {_interval(found)} "
            f"(95 % interval){turns}."
        ]
    number = times(found)
    factor = f"{number.text.rstrip(TIMES)} times ({number.interval})"
    return [f"{subject} answers {factor} as many requests as {where}{turns}."]


def _interval(found: Ratio) -> str:
    return times(found).interval or fixed(found.value, 2)


def _pointer_to_rejected(run: Run) -> tuple[str, ...]:
    if not run.recommendation.rejected:
        return ()
    return ("Each rejected configuration is listed below with its reason.",)


def _cost_words(rows: Sequence[Row]) -> str:
    """Of one row its cost; of several, which are one machine at different prices, the span of all."""
    if len(rows) > 1:
        return f"{_span(rows)} per million requests, by the price of the type,"
    found = cost(rows[0])
    if found.text == MISSING:
        return "cost not known"
    interval = f" (95 % interval {found.interval})" if found.interval else ""
    return f"{found.text} per million requests{interval}"


def _p99_words(row: Row) -> str:
    return "a p99 that too few requests were sent to state" if row.p99_ms is None else f"p99 {p99(row).text}"


def _fidelity(rows: Sequence[Row]) -> str:
    kinds = list(dict.fromkeys(row.fidelity for row in rows))
    if len(kinds) == 1:
        return phrases.FIDELITY[kinds[0]]
    return "partly " + ", partly ".join(phrases.FIDELITY[kind] for kind in kinds)
