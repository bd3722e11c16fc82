"""A gate as the JSON that benchmark trackers read: github-action-benchmark's and Bencher's.

github-action-benchmark takes one direction a file (`customSmallerIsBetter`, `customBiggerIsBetter`), so that
there are two.
"""

from __future__ import annotations

import json
import math
from typing import Any

from modeldyno.base.records.gate import GateMetric, GateRecord
from modeldyno.gate.show import words

_DIGITS = 6


def smaller_is_better(record: GateRecord, name: str | None = None) -> str:
    """Write the candidate's latencies, CPU times and sizes for `tool: customSmallerIsBetter`."""
    return _tracked(record, name, bigger=False)


def bigger_is_better(record: GateRecord, name: str | None = None) -> str:
    """Write the candidate's throughput for `tool: customBiggerIsBetter`."""
    return _tracked(record, name, bigger=True)


def bencher(record: GateRecord, name: str | None = None) -> str:
    """Write the candidate's values in Bencher's Metric Format, with intervals where both ends are known."""
    measures = {each.metric: _measure(each, each.candidate) for each in _with_values(record)}
    return _json({name or words.subject(record): measures} if measures else {})


def _tracked(record: GateRecord, name: str | None, *, bigger: bool) -> str:
    gated = name or words.subject(record)
    chosen = [each for each in _with_values(record) if words.more_is_better(each) is bigger]
    return _json([_entry(record, each, gated) for each in chosen])


def _entry(record: GateRecord, metric: GateMetric, gated: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": f"{gated}: {words.title(metric)}",
        "unit": metric.unit,
        "value": _rounded(metric.candidate),
        "extra": f"{words.said(record, metric)}: {metric.text}",
    }
    ends = None if metric.candidate is None else words.around(metric, metric.candidate)
    if metric.candidate and ends is not None and ends[0] < ends[1]:
        half = 100.0 * (ends[1] - ends[0]) / 2.0 / abs(metric.candidate)
        found["range"] = f"± {half:.2g} %"
    return found


def _measure(metric: GateMetric, value: float | None) -> dict[str, float | None]:
    ends = None if value is None else words.around(metric, value)
    if ends is None:
        return {"value": _rounded(value)}
    low, high = ends
    return {"value": _rounded(value), "lower_value": _rounded(low), "upper_value": _rounded(high)}


def _with_values(record: GateRecord) -> list[GateMetric]:
    """Trackers draw numbers: a metric without one is left out."""
    return [each for each in record.metrics if each.candidate is not None and math.isfinite(each.candidate)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
