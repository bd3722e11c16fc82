"""The charts, as inline SVG. Records in, text out; matplotlib's object interface, no global state.

Each function returns None when there is nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from modeldyno.base.records.load import LoadResult, TimelinePoint
from modeldyno.base.records.run import Limits
from modeldyno.reports.charts import svg
from modeldyno.reports.charts.drawing import (
    Tag,
    colour,
    horizontal_limit,
    line,
    marker,
    note,
    place_tags,
    scale_x,
    scale_y,
    vertical_limit,
    within_reach,
)
from modeldyno.reports.charts.findings import of_costs, of_levels, of_percentiles, of_time
from modeldyno.reports.charts.histogram import quantiles
from modeldyno.reports.results.series import Bar, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_PX, HEIGHT_PX = 500, 390
LONGEST_LABEL = 46
TAIL_SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)


@dataclass(frozen=True)
class Dot:
    """One load level in the throughput chart."""

    rps: tuple[float, float, float]
    ms: float
    low_ms: float
    high_ms: float | None
    chosen: bool


def throughput_chart(series: Sequence[Series], percentile: float, limits: Limits) -> str | None:
    """Draw latency against throughput: a curve per candidate across its load levels, with error bars."""
    curves = [(one, _dots(one, percentile)) for one in series]
    drawn = [(one, dots) for one, dots in curves if dots]
    if not drawn:
        return None
    name, limit_ms = f"p{percentile:g}", limits.latency_ms.get(percentile)
    with svg.chart_style():
        figure, axes = svg.new_axes(WIDTH_PX, HEIGHT_PX)
        every = [dot for _, dots in drawn for dot in dots]
        heights = [end for dot in every for end in (dot.low_ms, dot.ms, dot.high_ms) if end is not None]
        scale_x(axes, [dot.rps[2] for dot in every])
        scale_y(axes, heights + within_reach(limit_ms, heights))
        for one, dots in reversed(drawn):  # the best ones last, on top of the others
            _curve(axes, one, dots)
        horizontal_limit(axes, limit_ms, name)
        vertical_limit(axes, limits.throughput_rps, "throughput")
        axes.set(xlabel="throughput (requests a second)", ylabel=f"{name} latency (ms)")
        tags = [Tag(one.tag, d[-1].rps[2], d[-1].ms, colour(one)) for one, d in drawn if one.colour]
        place_tags(axes, tags, [(dot.rps[0], dot.ms) for dot in every])
        return svg.inline_svg(
            figure,
            name,
            of_levels([one for one, _ in drawn], percentile),
            f"{name} latency against throughput",
        )


def cost_chart(bars: Sequence[Bar], *, band: bool = True) -> str | None:
    """Draw cost per million requests: a bar per candidate, and the best one's interval as a `band`.

    No band where candidates were told apart by shared rounds: such intervals do not.
    """
    ends = [end for bar in bars for end in (bar.value, bar.high) if end is not None and math.isfinite(end)]
    if not ends:
        return None
    with svg.chart_style():
        figure, axes = svg.new_axes(WIDTH_PX, 60 + 40 * len(bars), left_px=9)
        if band:
            _band(axes, bars[0])
        for position, bar in enumerate(bars):
            _bar(axes, position, bar)
        axes.set(xlim=(0, max(ends) * 1.06 or 1.0), ylim=(len(bars) - 0.5, -0.75))
        axes.set(xlabel="US dollars per million requests", yticks=[])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${value:g}"))
        return svg.inline_svg(figure, "cost", of_costs(bars), "Cost per million requests")


def timeline_chart(one: Series, limit_ms: float | None) -> str | None:
    """Draw one candidate's p50 and p99 second by second, warm-up shaded, seconds with errors crossed."""
    points = one.level.timeline
    seen = [value for point in points for value in (point.p50_ms, point.p99_ms) if value is not None]
    if not seen:
        return None
    top = 1.2 * max(seen)
    with svg.chart_style():
        figure, axes = svg.new_axes(340, 200, left_px=60)
        axes.set(xlabel="second of the run", ylabel="latency (ms)", ylim=(0, top))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        _warmup(axes, points)
        seconds = [point.second + 0.5 for point in points]
        style = {**line(one), "linestyle": "solid", "alpha": 1.0}
        axes.plot(seconds, _gaps(point.p99_ms for point in points), **{**style, "linewidth": 1.1})
        axes.plot(seconds, _gaps(point.p99_ms for point in points), **marker(one, large=False))
        axes.plot(seconds, _gaps(point.p50_ms for point in points), **{**style, "linewidth": 2.4})
        _errors(axes, [point.second + 0.5 for point in points if point.errors], top)
        if limit_ms is not None and limit_ms <= top:
            axes.axhline(limit_ms, color=svg.LIMIT, linewidth=1.2, linestyle=(0, (6, 3)))
        return svg.inline_svg(figure, f"time{one.tag}", of_time(one), "Latency by second")


def distribution_chart(series: Sequence[Series], limits: Limits) -> str | None:
    """Draw the latency that a share of the requests stays within, read from the HDR histograms."""
    curves = [(one, quantiles(one.level)) for one in series]
    drawn = [(one, pairs) for one, pairs in curves if pairs]
    if not drawn:
        return None
    with svg.chart_style():
        figure, axes = svg.new_axes(WIDTH_PX, HEIGHT_PX)
        heights = [value for _, pairs in drawn for _, value in pairs]
        asked = {percent / 100: limit_ms for percent, limit_ms in limits.latency_ms.items()}
        reached = [value for limit in asked.values() for value in within_reach(limit, heights)]
        scale_y(axes, heights + reached)
        _tail_axis(axes, max(pairs[-1][0] for _, pairs in drawn))
        for one, pairs in reversed(drawn):
            axes.step(
                [_tail(part) for part, _ in pairs], [value for _, value in pairs], where="pre", **line(one)
            )
        for part, limit in asked.items():
            _limit_mark(axes, part, limit)
        axes.set(xlabel="share of the requests that are at least this fast", ylabel="latency (ms)")
        place_tags(
            axes, [Tag(one.tag, _tail(p[-1][0]), p[-1][1], colour(one)) for one, p in drawn if one.colour]
        )
        return svg.inline_svg(
            figure, "spread", of_percentiles([one for one, _ in drawn]), "Latency by percentile"
        )


def _dots(one: Series, percentile: float) -> list[Dot]:
    return [dot for point in one.points if (dot := _dot(point, percentile, point is one.level)) is not None]


def _dot(point: LoadResult, percentile: float, chosen: bool) -> Dot | None:
    for entry in point.percentiles:
        if entry.percentile == percentile and entry.ms is not None:
            low = entry.ms if entry.low_ms is None else min(entry.low_ms, entry.ms)
            high = None if entry.high_ms is None else max(entry.high_ms, entry.ms)
            rps = point.throughput_rps
            return Dot((rps.value, rps.low, rps.high), entry.ms, low, high, chosen)
    return None


def _curve(axes: Axes, one: Series, dots: Sequence[Dot]) -> None:
    rps, ms = [dot.rps[0] for dot in dots], [dot.ms for dot in dots]
    error: dict[str, Any] = {"color": colour(one), "linewidth": 1.0, "alpha": 0.7}
    axes.hlines(ms, [dot.rps[1] for dot in dots], [dot.rps[2] for dot in dots], **error)
    tops = [dot.ms if dot.high_ms is None else dot.high_ms for dot in dots]
    axes.vlines(rps, [dot.low_ms for dot in dots], tops, **error)
    axes.plot(rps, ms, **line(one))
    axes.plot(rps, ms, **marker(one, large=False))
    for dot in dots:
        if dot.high_ms is None:
            _open_end(axes, dot, colour(one))
        if dot.chosen:
            axes.plot(dot.rps[0], dot.ms, **marker(one, large=True))


def _open_end(axes: Axes, dot: Dot, stand_in: str) -> None:
    """Draw an arrow: the samples do not bound this percentile from above."""
    arrow = {"arrowstyle": "<-", "color": stand_in, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (dot.rps[0], dot.ms), (0, 26), textcoords="offset points", arrowprops=arrow)


def _band(axes: Axes, bar: Bar) -> None:
    """Shade the best one's interval: what reaches into it is not told apart from it."""
    if bar.best and bar.low is not None and bar.high is not None and math.isfinite(bar.high):
        axes.axvspan(bar.low, bar.high, color=svg.BAND, linewidth=0, zorder=0.5)


def _bar(axes: Axes, position: int, bar: Bar) -> None:
    """A line of text, and below it the bar with its interval."""
    above = axes.get_yaxis_transform()
    axes.text(0.006, position - 0.3, _short(bar.label), transform=above, va="center", color=svg.INK)
    axes.text(1, position - 0.3, bar.text, transform=above, va="center", ha="right", color=svg.INK)
    if not math.isfinite(bar.value):
        return
    fill, edge = (svg.CARD if bar.baseline else svg.SERIES[bar.colour]), svg.SERIES[bar.colour]
    axes.barh(position + 0.16, bar.value, height=0.36, color=fill, edgecolor=edge, linewidth=1.6)
    ends = [end for end in (bar.low, bar.high) if end is not None and math.isfinite(end)]
    if len(ends) == 2:
        style: dict[str, Any] = {
            "color": svg.INK,
            "linewidth": 1.4,
            "marker": "|",
            "markersize": 8,
            "markeredgewidth": 1.4,
        }
        axes.plot(
            ends,
            [position + 0.16] * 2,
            **{**style, "color": svg.CARD, "linewidth": 3.5, "markersize": 10, "markeredgewidth": 3.5},
        )
        axes.plot(ends, [position + 0.16] * 2, **style)


def _short(label: str) -> str:
    """What fits left of the numbers."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _warmup(axes: Axes, points: Sequence[TimelinePoint]) -> None:
    warm = [point.second for point in points if point.warmup]
    axes.set_xlim(points[0].second, points[-1].second + 1)
    if not warm:
        return
    axes.axvspan(min(warm), max(warm) + 1, color=svg.BAND, linewidth=0, zorder=0.5)
    if len(warm) >= 0.15 * len(points):
        where = axes.get_xaxis_transform()
        axes.text(min(warm) + 0.1, 0.97, "warm-up", transform=where, va="top", color=svg.MUTED, fontsize=11)


def _errors(axes: Axes, seconds: Sequence[float], top: float) -> None:
    height = [top * 0.04] * len(seconds)
    axes.plot(seconds, height, "x", color=svg.LIMIT, markersize=6, markeredgewidth=1.8, clip_on=False)


def _gaps(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _tail(part: float) -> float:
    """Place a share of the requests so that 90 %, 99 % and 99.9 % stand equally far apart."""
    return 1.0 / (1.0 - part)


def _tail_axis(axes: Axes, last: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(1.0, _tail(last) * 1.25)
    crowded = last > 0.9995
    shares = [p for p in TAIL_SHARES if _tail(p) <= _tail(last) * 1.25 and not (crowded and p == 0.95)]
    axes.xaxis.set_major_locator(FixedLocator([_tail(part) for part in shares]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * (1 - 1 / value), 4):g} %"))
    axes.xaxis.set_minor_locator(NullLocator())


def _limit_mark(axes: Axes, part: float, limit_ms: float | None) -> None:
    """A percentile's limit holds at that percentile alone: draw it there, not across the chart."""
    if limit_ms is None or limit_ms > axes.get_ylim()[1] or _tail(part) > axes.get_xlim()[1]:
        return
    x = _tail(part)
    axes.plot([x * 0.78, x / 0.78], [limit_ms] * 2, color=svg.LIMIT, linewidth=2.0)
    note(axes, f"p{100 * part:g} ≤ {limit_ms:g} ms", x, limit_ms, axes.transData, align="center")
