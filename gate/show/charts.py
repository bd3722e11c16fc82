"""The figures of a gate's page: what each metric changed by, and both sides' latencies over each other.

Each returns None where there is nothing to draw. What it shows is told in words as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, MaxNLocator

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateMetric, GateRecord, GateVerdict
from modeldyno.base.units import US_PER_MS
from modeldyno.gate.show import words
from modeldyno.reports.charts import svg
from modeldyno.reports.charts.drawing import WIDE_RANGE, scale_x
from modeldyno.reports.charts.histogram import cells
from modeldyno.reports.charts.overlay import (
    BINS,
    OUTSIDE,
    Side,
    edges_between,
    medians,
    outline,
    shares_between,
)
from modeldyno.reports.text.digits import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_PX = 480
BASELINE, CANDIDATE = 2, 1
"""Places in svg.SERIES."""


def latencies(record: GateRecord) -> tuple[Side, ...]:
    """Read both sides' histograms; empty unless both have requests.

    Raises:
        ConfigError: one cannot be decoded.
    """
    found = []
    for side, colour in (("baseline", BASELINE), ("candidate", CANDIDATE)):
        try:
            read = cells(record.histograms.get(side, "")) if record.histograms.get(side) else []
        except ConfigError as error:
            raise ConfigError(f"gate.json: {side}: {error}") from error
        times = tuple((value / US_PER_MS, count) for value, count in read)
        found.append(Side(side, colour, side == "baseline", times))
    return tuple(found) if all(each.count for each in found) else ()


def change_chart(record: GateRecord) -> str | None:
    """Draw each metric's change with its interval, its limit and its floor; right is worse."""
    drawn = [each for each in record.metrics if each.change is not None and not each.exact]
    if not drawn:
        return None
    with svg.chart_style():
        figure, axes = svg.new_axes(WIDTH_PX, 62 + 54 * len(drawn), left_px=9)
        _scale(axes, drawn)
        for position, metric in enumerate(drawn):
            _change(axes, position, metric, words.verdict(record, metric), words.said(record, metric))
        axes.set(yticks=[], xlabel="change against the baseline (%): left is better, right is worse")
        axes.spines["left"].set_visible(False)
        told = "; ".join(f"{words.title(each)}: {each.text}" for each in drawn)
        return svg.inline_svg(figure, "change", f"{told}.", "What changed, with intervals and limits")


def overlay_chart(sides: Sequence[Side]) -> str | None:
    """Draw how often each latency occurs, both sides over each other, medians marked."""
    if len(sides) != 2:
        return None
    low = min(side.quantile(OUTSIDE) for side in sides)
    high = max(side.quantile(1 - OUTSIDE) for side in sides)
    edges = _edges(low, high)
    with svg.chart_style():
        figure, axes = svg.new_axes(WIDTH_PX, 330)
        heights = [shares_between(side, edges) for side in sides]
        for side, shares in zip(sides, heights, strict=True):
            outline(axes, side, shares, edges)
        top = max(max(shares) for shares in heights)
        scale_x(axes, (edges[0], edges[-1]))
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.32 * top))
        axes.set(xlabel="latency (ms)", ylabel="share of the requests (%)")
        medians(axes, sides, top, _middle(axes), "{name}: median {ms} ms")
        return svg.inline_svg(figure, "overlay", overlay_finding(sides), "Latencies of both sides")


def overlay_finding(sides: Sequence[Side]) -> str:
    """Say in words what the drawing of both sides shows."""
    told = [
        f"{side.name}: half within {plain(side.quantile(0.5))} ms, 95 % within "
        f"{plain(side.quantile(0.95))} ms, of {side.count:,} requests"
        for side in sides
    ]
    return f"{'; '.join(told)}."


def _scale(axes: Axes, drawn: Sequence[GateMetric]) -> None:
    ends = [0.0]
    for each in drawn:
        known = (each.change, each.change_low, each.change_high, each.max_regression)
        ends += [100 * end for end in known if end is not None and math.isfinite(end)]
    room = 0.08 * (max(ends) - min(ends)) or 1.0
    axes.set(xlim=(min(ends) - room, max(ends) + room), ylim=(len(drawn) - 0.4, -0.8))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))


def _change(axes: Axes, position: int, metric: GateMetric, verdict: GateVerdict, said: str) -> None:
    """A line of text, and below it the estimate on its interval, the limit, and the floor."""
    open_or_worse = verdict in ("regression", "inconclusive")
    colour = svg.LIMIT if verdict == "regression" else svg.SERIES[CANDIDATE]
    label = f"{words.title(metric)}: {words.change(metric)}, {said}"
    where = axes.get_yaxis_transform()
    weight = "bold" if open_or_worse else "normal"
    axes.text(0.006, position - 0.42, label, transform=where, va="center", color=svg.INK, fontweight=weight)
    y = position + 0.1
    axes.plot([0, 0], [y - 0.24, y + 0.24], color=svg.MUTED, linewidth=1.6)
    left, right = axes.get_xlim()
    low = left if metric.change_low is None else 100 * metric.change_low
    high = right if metric.change_high is None else 100 * metric.change_high
    axes.plot([low, high], [y, y], color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
    shape = "D" if verdict == "regression" else "o"
    axes.plot([100 * (metric.change or 0.0)], [y], shape, color=colour, markersize=8)
    if metric.max_regression is not None:
        limit = 100 * metric.max_regression
        axes.plot([limit] * 2, [y - 0.24, y + 0.24], color=svg.LIMIT, linewidth=2.2)
        axes.text(limit, y + 0.37, "limit", ha="center", va="center", color=svg.LIMIT, fontsize=11)
    if metric.ignore_below is not None:
        floor = 100 * metric.ignore_below
        axes.plot([floor] * 2, [y - 0.2, y + 0.2], color=svg.MUTED, linewidth=1.4, linestyle=(0, (2, 2)))


def _edges(low: float, high: float) -> list[float]:
    """Give the ends of the bins: as wide as one another, or as ratios where the latencies lie far apart."""
    if low > 0 and high / low > WIDE_RANGE:
        return [low * (high / low) ** (number / BINS) for number in range(BINS + 1)]
    return edges_between(low, high)


def _middle(axes: Axes) -> float:
    first, last = axes.get_xlim()
    return math.sqrt(first * last) if axes.get_xscale() == "log" else (first + last) / 2
