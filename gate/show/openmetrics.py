"""A gate as OpenMetrics text: what GitLab compares between pipelines, and Prometheus can read.

GitLab compares values as texts: each is rounded to the digits that its error leaves certain, or every
pipeline would "change" every value. Labels name the side alone: a commit in a label would make each metric a
new one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from modeldyno.base.records.gate import GateMetric, GateRecord
from modeldyno.gate.show import words

_NO_NAME = re.compile(r"[^a-zA-Z0-9_]+")
_UNIT_IN_NAME = re.compile(r"_(?:ms|s|us|mib|bytes|rps|share|ratio)(?=_|$)")
FEWEST_DIGITS = 2
"""Of a value without an interval."""


class Unit(NamedTuple):
    """A base unit of OpenMetrics; times `factor` gives it."""

    name: str
    factor: float


_UNITS = {
    "ms": Unit("seconds", 1e-3),
    "us": Unit("seconds", 1e-6),
    "s": Unit("seconds", 1.0),
    "MiB": Unit("bytes", 2.0**20),
    "bytes": Unit("bytes", 1.0),
    "share": Unit("ratio", 1.0),
    "ratio": Unit("ratio", 1.0),
    "requests/s": Unit("requests_per_second", 1.0),
}


def openmetrics(record: GateRecord) -> str:
    """Write both sides' values, the changes, and the verdicts; ends with `# EOF`."""
    lines = [line for each in record.metrics for line in _metric(record, each)]
    return "\n".join([*lines, *_verdict(record), "# EOF"]) + "\n"


def certain(value: float, error: float) -> float:
    """Round to the last digit that an error of this size leaves alone, one digit at least.

    >>> certain(10.4321, 0.05), certain(0.0108, 0.0), certain(96.2, 5.0)
    (10.4, 0.011, 100.0)
    """
    if value == 0 or not math.isfinite(value):
        return value
    first = math.floor(math.log10(abs(value)))
    last = math.floor(math.log10(error)) + 1 if error > 0 else first - FEWEST_DIGITS + 1
    return round(value, -min(last, first))


def _metric(record: GateRecord, metric: GateMetric) -> Iterator[str]:
    unit = _UNITS.get(metric.unit, Unit("", 1.0))
    base = f"dyno_{_NO_NAME.sub('_', _UNIT_IN_NAME.sub('', metric.metric))}"
    sides = (("baseline", metric.baseline), ("candidate", metric.candidate))
    values = [(side, _value(record, metric, number)) for side, number in sides]
    samples = [(side, number * unit.factor) for side, number in values if number is not None]
    if samples:
        name = f"{base}_{unit.name}" if unit.name else base
        yield from _head(name, unit.name, f"{words.title(metric)} of each side")
        for side, number in samples:
            yield f'{name}{{side="{side}"}} {_text(number)}'
    if metric.change is not None and math.isfinite(metric.change):
        name = f"{base}_change_ratio"
        yield from _head(name, "ratio", f"{words.title(metric)}: share by which the candidate is worse")
        yield f"{name} {_text(certain(metric.change, _half(metric)))}"


def _value(record: GateRecord, metric: GateMetric, number: float | None) -> float | None:
    if number is None or not math.isfinite(number):
        return None
    if metric.exact:
        return number
    between = 2.0 * (record.between_starts or 0.0)
    return certain(number, abs(number) * max(_half(metric), between))


def _half(metric: GateMetric) -> float:
    """Give the longer arm of the change's interval, as a share; 0 where it has no ends."""
    ends = (metric.change_low, metric.change_high)
    return max(
        (abs(end - metric.change) for end in ends if end is not None and metric.change is not None),
        default=0.0,
    )


def _head(name: str, unit: str, what: str) -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {_escaped(what)}"


def _verdict(record: GateRecord) -> Iterator[str]:
    yield "# TYPE dyno_gate stateset"
    yield "# HELP dyno_gate What the gate says."
    for verdict in words.VERDICTS:
        yield f'dyno_gate{{dyno_gate="{verdict}"}} {int(record.verdict == verdict)}'


def _text(number: float) -> str:
    return f"{number:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
