"""What the page's script draws: two figures with zoom and values, beside drawings that need no script."""

from __future__ import annotations

import base64
import bisect
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from modeldyno.reports.charts.histogram import quantiles
from modeldyno.reports.results.series import Series

POINTS = 160
"""Of a percentile curve, from the fastest to the slowest request."""
WIDE = 12.0
"""Latencies farther apart than so many times are drawn on a logarithmic scale."""
Curve = dict[str, object]


@dataclass(frozen=True)
class Plots:
    """The script, its style and its data, and the script's hash for the Content-Security-Policy."""

    script: str
    style: str
    hash: str
    data: str


def plots(series: Sequence[Series]) -> Plots | None:
    """Return what the script needs for the series that have a colour; None where there is nothing to draw."""
    coloured = [one for one in series if one.colour]
    found = {"percentiles": _percentiles(coloured), "time": _time(coloured)}
    there = {name: plot for name, plot in found.items() if plot}
    if not there:
        return None
    script, style = _script()
    # In a script element only "<" could end it, and as \u003c it means the same to JSON.
    data = json.dumps(there, separators=(",", ":")).replace("<", "\\u003c")
    return Plots(script, style, hash_of(script), data)


def hash_of(script: str) -> str:
    """Give the source expression that allows this very script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


@cache
def _script() -> tuple[str, str]:
    here = files("modeldyno.reports.page")
    vendored = here / "vendor" / "uplot"
    library = (vendored / "uPlot.iife.min.js").read_text(encoding="utf-8")
    own = (here / "scripts" / "plots.js").read_text(encoding="utf-8")
    licence = (vendored / "LICENSE").read_text(encoding="utf-8")  # asks to stand in every copy
    return f"/* uPlot\n{licence}*/\n{library}\n{own}", (vendored / "uPlot.min.css").read_text(
        encoding="utf-8"
    )


def _percentiles(series: Sequence[Series]) -> Curve | None:
    """Latency by share of the requests: at shares whose distance from 1 shrinks evenly."""
    curves = [(one, pairs) for one in series if (pairs := quantiles(one.level))]
    if not curves:
        return None
    last = max(1 / (1 - pairs[-1][0]) for _, pairs in curves)
    tails = [last ** (number / (POINTS - 1)) for number in range(POINTS)]
    drawn = [_curve(one, one.name, [_at(pairs, 1 - 1 / tail) for tail in tails]) for one, pairs in curves]
    return {"tail": True, **_plot([round(tail, 4) for tail in tails], drawn)}


def _at(pairs: Sequence[tuple[float, float]], share: float) -> float | None:
    """The least latency that this share of the requests stays within."""
    found = bisect.bisect_left(pairs, share - 1e-9, key=lambda pair: pair[0])
    return pairs[found][1] if found < len(pairs) else None


def _time(series: Sequence[Series]) -> Curve | None:
    seconds = sorted({point.second for one in series for point in one.level.timeline})
    if not seconds:
        return None
    drawn = []
    for one in series:
        by_second = {point.second: point for point in one.level.timeline}
        points = [by_second.get(second) for second in seconds]
        p99, p50 = (
            [getattr(each, name) if each else None for each in points] for name in ("p99_ms", "p50_ms")
        )
        drawn += [
            _curve(one, f"p99 of {one.name}", p99, thin=True),
            _curve(one, f"p50 of {one.name}", p50, show=False),
        ]
    return {"tail": False, **_plot(seconds, drawn)}


def _curve(
    one: Series, name: str, values: Sequence[float | None], *, thin: bool = False, show: bool = True
) -> Curve:
    return {
        "label": f"{one.tag} · {name}{' (void)' if one.void else ''}",
        "colour": one.colour,
        "dashed": one.dashed,
        "thin": thin,
        "show": show and not one.void,
        "y": [None if value is None else round(value, 3) for value in values],
    }


def _plot(x: Sequence[float], drawn: Sequence[Curve]) -> Curve:
    heights = [value for curve in drawn for value in _values(curve) if value]
    wide = bool(heights) and max(heights) > WIDE * min(heights)
    return {"x": list(x), "wide": wide, "series": list(drawn)}


def _values(curve: Curve) -> Sequence[float | None]:
    found = curve["y"]
    assert isinstance(found, list)  # noqa: S101 - made by _curve
    return found
