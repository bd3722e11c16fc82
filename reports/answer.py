"""The answer of a run in one sentence, and what a reader asks next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeldyno.base.records.levels import level_of
from modeldyno.base.records.run import Row
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.results.speedup import BASELINE, Ratio, speedup
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import MISSING, TIMES, Shown, count, decimals, fixed, shown


@dataclass(frozen=True)
class Answer:
    """`kind` is `winner`, `tie` or `none`; `details` are sentences of their own."""

    kind: str
    headline: str
    details: tuple[str, ...]


def answer(run: Run) -> Answer:
    """Say which configuration to run, that some tie, or that none meets the limits."""
    ranking = run.recommendation.ranking
    if not ranking:
        return Answer("none", _none(run), _pointer_to_rejected(run))
    if not ranking[0].valid:
        return Answer("none", _void(ranking), (*dict.fromkeys(_void_reasons(ranking)),))
    tied = [ranking[0], *(row for row in ranking[1:] if row.tied_with_best)]
    if len(tied) == 1:
        return Answer("winner", _winner(ranking), _details(run, tied))
    return Answer("tie", _tie(tied, ranking), _details(run, tied))


def _void(ranking: Sequence[Row]) -> str:
    within = f"{count(len(ranking), 'configuration')} seemed to meet the limits"
    return f"No configuration was measured validly: {within}, but their load tests are void."


def _void_reasons(ranking: Sequence[Row]) -> list[str]:
    return [phrases.log_text(reason) for row in ranking for reason in row.invalid_reasons]


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


def _winner(ranking: Sequence[Row]) -> str:
    row = ranking[0]
    return f"Run it on {_name(row, ranking)}: {_cost_words(row)} at {_p99_words(row)}, {_fidelity([row])}."


def _tie(tied: Sequence[Row], ranking: Sequence[Row]) -> str:
    names = [_name(row, ranking) for row in tied[:2]]
    if len(tied) > 2:
        who = f"{', '.join(names)} and {len(tied) - 2} more tie"
        costs = f"{_span(tied)} per million requests, where their 95 % CIs overlap"
        return f"{who}: {costs}, {_fidelity(tied)}."
    costs, tails = (" and ".join(map(word, tied)) for word in (_cost_short, _p99_short))
    return f"{' and '.join(names)} tie: {costs} per million requests at p99 {tails}, {_fidelity(tied)}."


def _span(rows: Sequence[Row]) -> str:
    """From the lowest to the highest cost that the rows' intervals leave possible."""
    lows = [end for row in rows if (end := _first(row.usd_per_million_low, row.usd_per_million)) is not None]
    highs = [
        end for row in rows if (end := _first(row.usd_per_million_high, row.usd_per_million)) is not None
    ]
    if not lows or not highs:
        return "cost not known"
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


def _details(run: Run, tied: Sequence[Row]) -> tuple[str, ...]:
    best = tied[0]
    found = [_settings(best) if len(tied) == 1 else _how_to_choose(tied)]
    found += _speedup(run, best)
    others = [row for row in run.recommendation.ranking if row not in tied and row.valid]
    if others:
        found.append(f"Next: {phrases.configuration(others[0])} at {cost(others[0]).whole} per million.")
    elif len(run.rows) == 1:
        found.append("It is the only configuration that was tried.")
    if void := [row for row in run.recommendation.ranking if not row.valid]:
        found.append(f"{count(len(void), 'configuration')} ranked last: the load test is void.")
    return tuple(found)


def _settings(row: Row) -> str:
    load = phrases.load(*level_of(row))
    under = f" under {load}" if load else ""
    if row.found_rate:
        rate = f"{throughput(row).whole} requests a second"
        where = f"Server settings: {phrases.settings(row.settings)}"
        return f"{where}; the highest rate that meets the limits: {rate}."
    rps = f", {throughput(row).whole} requests a second" if row.throughput_rps is not None else ""
    return f"Server settings: {phrases.settings(row.settings)}{under}{rps}."


def _how_to_choose(tied: Sequence[Row]) -> str:
    loads = dict.fromkeys(phrases.load(*level_of(row)) for row in tied)
    under = f" under {' and '.join(load for load in loads if load)}" if any(loads) else ""
    return (
        f"Their cost intervals{under} overlap, so these measurements do not tell which is cheaper: "
        "measure longer, or choose among them by other reasons."
    )


def _speedup(run: Run, best: Row) -> list[str]:
    """Compare compiled with uncompiled on the best row's instance type, whichever of the two won."""
    if best.backend != BASELINE:
        found, subject = speedup(run, best), "The compiled artifact"
    else:
        there = [row for row in run.rows if row.instance_type == best.instance_type]
        ratios = [ratio for row in there if (ratio := speedup(run, row)) is not None]
        found = max(ratios, key=lambda ratio: ratio.value, default=None)
        subject = "The compiled artifact there"
    if found is None:
        return []
    load = "at its own highest rate" if best.found_rate else "under the same load"
    where = f"ONNX Runtime ({found.against}) on the same instance type {load}"
    if found.tie:
        return [f"{subject} and {where} tie in throughput: ratio {_interval(found)} (95 % CI)."]
    number = times(found)
    factor = f"{number.text.rstrip(TIMES)} times ({number.interval})"
    return [f"{subject} answers {factor} as many requests as {where}."]


def _interval(found: Ratio) -> str:
    return times(found).interval or fixed(found.value, 2)


def _pointer_to_rejected(run: Run) -> tuple[str, ...]:
    if not run.recommendation.rejected:
        return ()
    return ("Each rejected configuration is listed below with its reason.",)


def _name(row: Row, among: Sequence[Row]) -> str:
    """Instance type and backend; the settings too where other rows differ in nothing else."""
    alike = [one for one in among if (one.instance_type, one.backend) == (row.instance_type, row.backend)]
    settings = f" ({phrases.settings(row.settings)})" if len(alike) > 1 else ""
    return f"{row.instance_type} with {phrases.WITH_BACKEND.get(row.backend, row.backend)}{settings}"


def _cost_words(row: Row) -> str:
    found = cost(row)
    if found.text == MISSING:
        return "cost not known"
    interval = f" (95 % CI {found.interval})" if found.interval else ""
    return f"{found.text} per million requests{interval}"


def _cost_short(row: Row) -> str:
    found = cost(row)
    return f"{found.text} (95 % CI {found.interval})" if found.interval else found.text


def _p99_short(row: Row) -> str:
    found = p99(row).text
    return "not known" if found == MISSING else found


def _p99_words(row: Row) -> str:
    return "a p99 that too few requests were sent to state" if row.p99_ms is None else f"p99 {p99(row).text}"


def _fidelity(rows: Sequence[Row]) -> str:
    kinds = list(dict.fromkeys(row.fidelity for row in rows))
    if len(kinds) == 1:
        return phrases.FIDELITY[kinds[0]]
    return "partly " + ", partly ".join(phrases.FIDELITY[kind] for kind in kinds)
