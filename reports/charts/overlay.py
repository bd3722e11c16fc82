"""How often each latency occurs: two sides over each other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modeldyno.base.records.load import LoadResult
from modeldyno.base.units import US_PER_MS
from modeldyno.reports.charts import svg
from modeldyno.reports.charts.histogram import cells
from modeldyno.reports.text.digits import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_PX = 500
BINS = 70
OUTSIDE = 0.005
"""Share of a side's requests that may lie beyond the drawing, at either end."""
DASHES = (0, (4, 2.2))


@dataclass(frozen=True)
class Side:
    """One side's requests: milliseconds and how many, the fastest first."""

    name: str
    colour: int
    dashed: bool
    cells: tuple[tuple[float, int], ...]

    @property
    def count(self) -> int:
        """How many requests there are."""
        return sum(count for _, count in self.cells)

    def quantile(self, part: float) -> float:
        """Give the latency in ms that this share of the requests stays within."""
        seen, total = 0, self.count
        for ms, count in self.cells:
            seen += count
            if seen >= part * total:
                return ms
        return self.cells[-1][0]


def side(name: str, result: LoadResult, colour: int, *, dashed: bool) -> Side | None:
    """Read a load test's histogram; None where it has none.

    Raises:
        ConfigError: the histogram cannot be decoded.
    """
    if not result.samples or not result.histogram:
        return None
    found = tuple((value / US_PER_MS, count) for value, count in cells(result.histogram))
    return Side(name, colour, dashed, found) if found else None


def overlay_chart(sides: Sequence[Side]) -> str | None:
    """Draw both sides' shares by latency, medians marked; None unless there are two."""
    if len(sides) != 2:
        return None
    edges = edges_between(
        min(one.quantile(OUTSIDE) for one in sides), max(one.quantile(1 - OUTSIDE) for one in sides)
    )
    with svg.chart_style():
        figure, axes = svg.new_axes(WIDTH_PX, 340)
        heights = [shares_between(one, edges) for one in sides]
        for one, shares in zip(sides, heights, strict=True):
            outline(axes, one, shares, edges)
        top = max(max(shares) for shares in heights)
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.32 * top))
        axes.set(xlabel="latency (ms)", ylabel="share of the requests (%)")
        left, right = axes.get_xlim()
        medians(axes, sides, top, left + 0.62 * (right - left))
        return svg.inline_svg(figure, "overlay", finding(sides), "Latencies of compiled and not compiled")


def finding(sides: Sequence[Side]) -> str:
    """Say in words what the drawing shows."""
    told = [
        f"{one.name}: half of {one.count:,} requests within {plain(one.quantile(0.5))} ms, "
        f"95 % within {plain(one.quantile(0.95))} ms"
        for one in sides
    ]
    return f"{'; '.join(told)}."


def edges_between(low: float, high: float) -> list[float]:
    """Give the ends of bins that are as wide as one another, with some room at both ends."""
    room = 0.05 * (high - low) or 0.05 * high or 1.0
    first, last = max(low - room, 0.0), high + room
    return [first + (last - first) * number / BINS for number in range(BINS + 1)]


def shares_between(one: Side, edges: Sequence[float]) -> list[float]:
    """Count the requests between neighbouring edges, in per cent of all."""
    counts = [0] * (len(edges) - 1)
    for ms, count in one.cells:
        if edges[0] <= ms <= edges[-1]:
            counts[min(bisect_right(edges, ms) - 1, len(counts) - 1)] += count
    return [100.0 * count / one.count for count in counts]


def outline(axes: Axes, one: Side, shares: Sequence[float], edges: Sequence[float]) -> None:
    """Draw one side's shares as an outline over a light area."""
    colour = svg.SERIES[one.colour]
    axes.fill_between(edges, [*shares, 0.0], step="post", color=colour, alpha=0.22, linewidth=0)
    dashes = DASHES if one.dashed else "solid"
    axes.step(edges, [*shares, 0.0], where="post", color=colour, linewidth=2.0, linestyle=dashes)


def medians(
    axes: Axes, sides: Sequence[Side], top: float, turn: float, label: str = "{name}: {ms} ms"
) -> None:
    """Mark each median and name it beside the mark, on lines of their own; left of it from `turn` on."""
    for number, one in enumerate(sides):
        ms, height = one.quantile(0.5), top * (1.24 - 0.12 * number)
        dashes = DASHES if one.dashed else "solid"
        axes.plot([ms, ms], [0, height], color=svg.SERIES[one.colour], linewidth=1.6, linestyle=dashes)
        align, offset = ("left", 5) if ms < turn else ("right", -5)
        axes.annotate(
            label.format(name=one.name, ms=plain(ms)),
            (ms, height),
            (offset, 0),
            textcoords="offset points",
            ha=align,
            va="center",
            color=svg.INK,
            fontweight="bold",
        )
