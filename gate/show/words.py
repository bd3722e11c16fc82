"""How metrics, values and verdicts are worded, wherever they are shown."""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from modeldyno.base.records.gate import GateMetric, GateRecord, GateVerdict, GateWarning
from modeldyno.base.records.ranked_warning import Rank
from modeldyno.base.units import short_duration
from modeldyno.reports.text.digits import MISSING, count, decimals, fixed, share, shown, with_unit

VERDICTS: dict[GateVerdict, str] = {
    "regression": "regression",
    "pass": "pass",
    "improvement": "improvement",
    "inconclusive": "not decided",
}
MOST_WARNINGS = 3
NOT_COVERED = "4 times out of 5"
_TITLES = {
    "throughput_rps": "throughput",
    "cpu_ms_per_request": "CPU time per request",
    "error_rate": "error rate",
    "startup_s": "start-up time",
    "artifact_bytes": "artifact size",
    "compiled_share": "operators compiled",
    "compiled_flops_share": "operations compiled",
    "fallback_operators": "operators not compiled",
    "parity_max_rel": "difference from the source model",
}
_PERCENTILE = re.compile(r"(p\d+(?:\.\d+)?)_ms")
_UNITS = re.compile(r"_(?:ms|s|us|mib|bytes|rps)$")
_MORE_IS_BETTER = re.compile(r"_rps$|^compiled")
_BYTES_PER_MB = 1e6
_RANKS: tuple[Rank, ...] = ("void", "weak", "note")


def title(metric: GateMetric) -> str:
    """Name a metric for a reader: `p50 latency`, `throughput`."""
    if named := _PERCENTILE.fullmatch(metric.metric):
        return f"{named[1]} latency"
    return _TITLES.get(metric.metric) or _UNITS.sub("", metric.metric).replace("_", " ")


def more_is_better(metric: GateMetric) -> bool:
    """Whether a higher value is the better one: requests a second, the share that is compiled."""
    return _MORE_IS_BETTER.search(metric.metric) is not None


def value(metric: GateMetric, number: float | None) -> str:
    """Word one side's value with its unit."""
    if number is None or math.isnan(number):
        return MISSING
    if metric.unit in ("share", "ratio"):
        return share(number)
    if metric.unit == "bytes" and number >= _BYTES_PER_MB:
        return f"{number / _BYTES_PER_MB:,.2f} MB"
    if metric.exact and float(number).is_integer():
        return with_unit(fixed(number, 0), metric.unit)
    return shown(number, unit=metric.unit).text


def change(metric: GateMetric) -> str:
    """Word the difference: `3.1 % worse (2.2 to 4.0)`; an end that is not bounded is left open."""
    if metric.change is None:
        return MISSING
    sign = -100.0 if metric.change < 0 else 100.0
    ends = (metric.change_low, metric.change_high)[:: -1 if sign < 0 else 1]
    low, high = (None if end is None else sign * end for end in ends)
    middle = sign * metric.change
    digits = decimals(middle, low, high)
    if metric.change == 0 and low == high:
        return "none"
    text = f"{fixed(middle, digits)} % {'better' if sign < 0 else 'worse'}"
    interval = _interval(low, high, digits)
    return f"{text} ({interval})" if interval else text


def limit(metric: GateMetric) -> str:
    """Word the limit of a regression."""
    return MISSING if metric.max_regression is None else f"{100 * metric.max_regression:g} %"


def found(record: GateRecord) -> str:
    """Say which regressions this run would have found; empty where nothing was measured."""
    known = [
        f"{title(each)} from {share(each.smallest_found)}"
        for each in record.metrics
        if each.smallest_found is not None
    ]
    if not known:
        return ""
    return f"A run like this one finds these regressions {NOT_COVERED}: {', '.join(known)}."


def measured(record: GateRecord) -> str:
    """Say what the answer rests on."""
    took = short_duration(record.seconds)
    if not record.measured:
        return f"Nothing was measured; {took}."
    dropped = ""
    if record.pairs_dropped:
        dropped = f" ({record.pairs_dropped} more dropped: the machine did something else)"
    starts = f", {count(record.epochs, 'start')} of each" if record.epochs else ""
    return f"Both sides ran in turns: {count(record.pairs, 'pair')}{dropped}{starts}, {took} in all."


def load(record: GateRecord) -> str:
    """Say how both sides were loaded."""
    how = record.load
    if how.users is not None:
        kind = f"{count(how.users, 'user')}, each waiting for its answer"
    elif how.rate_rps is not None:
        kind = f"{how.rate_rps:g} requests a second by schedule"
    else:
        kind = "no load"
    named = "CPU" if len(how.cpus) == 1 else "CPUs"
    cpus = f"; servers on {named} {', '.join(map(str, how.cpus))}" if how.cpus else ""
    return f"{kind}; {how.payload}{cpus}"


def warnings(record: GateRecord) -> list[GateWarning]:
    """Give the warnings, first those that change the most about the answer; their own order within a rank."""
    return sorted(record.warnings, key=lambda each: _RANKS.index(each.rank))


def warning(each: GateWarning) -> str:
    """Word a warning with what to do about it."""
    if not each.advice:
        return f"{each.rank}: {each.text}"
    return f"{each.rank}: {each.text.rstrip('.')}. To do: {each.advice}"


def void(record: GateRecord) -> GateWarning | None:
    """Give what makes the measurement void, if anything does."""
    return next((each for each in warnings(record) if each.rank == "void"), None)


def outputs_differ(record: GateRecord) -> str:
    """Say that the answers differ; empty where they agree or were not compared."""
    outputs = record.outputs
    return "" if outputs is None or outputs.same else f"The answers differ: {outputs.text}"


def said(record: GateRecord, metric: GateMetric) -> str:
    """Word a metric's verdict; of what was measured without a limit, that it has none."""
    given = verdict(record, metric)
    if given == "pass" and metric.max_regression is None and not metric.exact:
        return "no limit"
    return VERDICTS[given]


def pair(record: GateRecord) -> str:
    """Name both sides, by the last parts of their paths where those differ."""
    names = [record.candidate.reference, record.baseline.reference]
    short = [PurePosixPath(name).name or name for name in names]
    return " against ".join(short if short[0] != short[1] else names)


def subject(record: GateRecord) -> str:
    """Name what is gated, the same from commit to commit: the last part of the candidate's reference."""
    reference = record.candidate.reference
    if record.candidate.kind == "url":
        return urlsplit(reference).netloc or reference
    path = PurePosixPath(reference.rstrip("/"))
    return (path.stem if record.candidate.kind == "model" else path.name) or reference


def around(metric: GateMetric, number: float) -> tuple[float, float] | None:
    """Give the interval of the change, laid around the candidate's value; None where it has an open end.

    The change's interval is of the ratio of both sides, so that what moves both is not in it.
    """
    ends = (metric.change_low, metric.change, metric.change_high)
    if any(end is None or not math.isfinite(end) for end in ends):
        return None
    low, middle, high = (1.0 + sign * end for end in ends if end is not None for sign in [_sign(metric)])
    if middle <= 0:
        return None
    first, last = sorted((number * low / middle, number * high / middle))
    return min(first, number), max(last, number)


def verdict(record: GateRecord, metric: GateMetric) -> GateVerdict:
    """Give a metric's verdict as the whole answer lets it stand.

    What was measured is not decided where the measurement is void, or where a regression is not held against
    the candidate (of servers that somebody else runs). Exact rules need no measurement.
    """
    if record.verdict != "inconclusive" or metric.exact:
        return metric.verdict
    return "inconclusive" if metric.verdict == "regression" or void(record) else metric.verdict


def _sign(metric: GateMetric) -> float:
    return -1.0 if more_is_better(metric) else 1.0


def _interval(low: float | None, high: float | None, digits: int) -> str:
    if low is None and high is None:
        return ""
    if high is None or math.isinf(high):
        return "" if low is None else f"{fixed(low, digits)} or more"
    if low is None or math.isinf(low):
        return f"{fixed(high, digits)} or less"
    return "" if low == high else f"{fixed(low, digits)} to {fixed(high, digits)}"
