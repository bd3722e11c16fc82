"""Ratios with their intervals, one above the other, beside a line at 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from modeldyno.reports.charts import svg
from modeldyno.reports.text.digits import TIMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_PX = 500
LONGEST_LABEL = 40
FARTHEST = 16.0
"""An interval that reaches farther than so many times the estimates is cut, with an arrow."""
TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
TICK_SHARE = 0.12
"""Of the drawing's width, so much lies between two ticks: their words need it."""


@dataclass(frozen=True)
class Mark:
    """One ratio; an end that is None is open. `text` is the number in words, `colour` a series' number."""

    label: str
    text: str
    value: float
    low: float | None
    high: float | None
    colour: int
    hollow: bool = False


@dataclass(frozen=True)
class Words:
    """What a reader of the chart is told: its name in the page, title, finding, and what lies at its foot."""

    name: str
    title: str
    finding: str
    foot: str


def forest_chart(marks: Sequence[Mark], words: Words) -> str | None:
    """Draw each ratio on its interval, on a logarithmic scale; None where there is none."""
    marks = [mark for mark in marks if math.isfinite(mark.value) and mark.value > 0]
    if not marks:
        return None
    with svg.chart_style():
        figure, axes = svg.new_axes(WIDTH_PX, 68 + 44 * len(marks), left_px=9)
        left, right = _reach(marks)
        axes.set_xscale("log")
        axes.set(xlim=(left, right), ylim=(len(marks) - 0.4, -0.8), yticks=[], xlabel=words.foot)
        axes.spines["left"].set_visible(False)
        _ticks(axes, left, right)
        for position, mark in enumerate(marks):
            _draw(axes, position, mark)
        return svg.inline_svg(figure, words.name, words.finding, words.title)


def _reach(marks: Sequence[Mark]) -> tuple[float, float]:
    values = [mark.value for mark in marks]
    known = [end for mark in marks for end in (mark.low, mark.high) if end is not None]
    ends = [1.0, *values, *(end for end in known if 0 < end < math.inf)]
    low = max(min(ends), min(1.0, *values) / FARTHEST)
    high = min(max(ends), max(1.0, *values) * FARTHEST)
    room = max(1.04, (high / low) ** 0.06)
    return low / room, high * room


def _ticks(axes: Axes, left: float, right: float) -> None:
    apart = (right / left) ** TICK_SHARE
    there = [1.0]
    for tick in sorted(TICKS, key=lambda each: abs(math.log(each))):
        if left <= tick <= right and all(max(tick / other, other / tick) >= apart for other in there):
            there.append(tick)
    axes.xaxis.set_major_locator(FixedLocator(sorted(there)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{TIMES}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw(axes: Axes, position: int, mark: Mark) -> None:
    """A line of text, and below it the estimate on its interval."""
    where, colour = axes.get_yaxis_transform(), svg.SERIES[mark.colour]
    short = mark.label if len(mark.label) <= LONGEST_LABEL else f"{mark.label[: LONGEST_LABEL - 1]}…"
    axes.text(0.006, position - 0.38, short, transform=where, va="center", color=svg.INK)
    axes.text(1, position - 0.38, mark.text, transform=where, va="center", ha="right", color=svg.INK)
    left, right = axes.get_xlim()
    low = mark.low if mark.low is not None and mark.low > left else left
    high = mark.high if mark.high is not None and mark.high < right else right
    y = position + 0.08
    axes.plot([1.0, 1.0], [y - 0.26, y + 0.26], color=svg.INK, linewidth=1.6)  # not through the text
    axes.plot([low, high], [y, y], color=colour, linewidth=3, solid_capstyle="butt")
    for end, closed, arrow in ((low, low > left, "<"), (high, high < right, ">")):
        axes.plot([end], [y], "|" if closed else arrow, color=colour, markersize=9, markeredgewidth=2)
    face = svg.CARD if mark.hollow else colour
    style = {"markerfacecolor": face, "markeredgecolor": colour, "markeredgewidth": 2.0}
    axes.plot([mark.value], [y], "o", markersize=9, **style)  # type: ignore[arg-type] # of several types
