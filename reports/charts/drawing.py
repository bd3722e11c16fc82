"""What the charts have in common: line styles, scales, limit lines, tags that do not overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from modeldyno.reports.charts import svg
from modeldyno.reports.results.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.transforms import Transform

WIDE_RANGE = 12.0
_TAG_WIDTH_PX, _TAG_HEIGHT_PX = 20.0, 13.0
# From a point to the middle of its tag, and how near to a dot that middle may come.
_TAG_OFFSET_PX, _DOT_REACH_PX = 13.0, 11.0


@dataclass(frozen=True)
class Tag:
    """A series' tag and the point (in data units) that it stands beside."""

    text: str
    x: float
    y: float
    colour: str


def colour(one: Series) -> str:
    """Return the stand-in colour of a series."""
    return svg.SERIES[one.colour]


def line(one: Series) -> dict[str, Any]:
    """Style of a series' line: dashed for the baseline, thin for the rejected and for the grey ones."""
    quiet = one.rejected or not one.colour
    return {
        "color": colour(one),
        "linestyle": (0, (4, 2.2)) if one.dashed else "solid",
        "linewidth": 1.2 if quiet else 2.0,
        "alpha": 0.75 if quiet else 1.0,
    }


def marker(one: Series, *, large: bool) -> dict[str, Any]:
    """Style of a series' marker: open for the baseline."""
    return {
        "marker": "o",
        "linestyle": "none",
        "markersize": 9.0 if large else 5.0,
        "markeredgecolor": colour(one),
        "markerfacecolor": svg.CARD if one.dashed else colour(one),
        "markeredgewidth": 1.6,
    }


def scale_x(axes: Axes, values: Sequence[float]) -> None:
    """Start at 0, or go logarithmic when the values are too far apart to be told on a straight scale."""
    if _wide(values):
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis)
    axes.set_xlim(*_ends(values))


def scale_y(axes: Axes, values: Sequence[float]) -> None:
    """Scale the upright axis as `scale_x` does the other."""
    if _wide(values):
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
    axes.set_ylim(*_ends(values))


def horizontal_limit(axes: Axes, limit: float | None, name: str) -> None:
    """Draw an upper limit, or say that it lies above the chart."""
    if limit is None:
        return
    text = f"{name} ≤ {limit:g} ms"
    if limit > axes.get_ylim()[1]:
        note(axes, f"{text}: above this chart", 0.985, 0.95, align="right")
        return
    axes.axhline(limit, color=svg.LIMIT, linewidth=1.3, linestyle=(0, (6, 3)))
    note(axes, text, 0.015, limit, axes.get_yaxis_transform())


def vertical_limit(axes: Axes, limit: float | None, name: str) -> None:
    """Draw a lower limit of the throughput, where the chart reaches it."""
    if limit is None or limit > axes.get_xlim()[1]:
        return
    axes.axvline(limit, color=svg.LIMIT, linewidth=1.3, linestyle=(0, (6, 3)))
    note(axes, f"{name} ≥ {limit:g}", limit, 0.0, axes.get_xaxis_transform())


def note(
    axes: Axes, text: str, x: float, y: float, where: Transform | None = None, *, align: str = "left"
) -> None:
    """Write what a limit is, a little above (x, y); `where` is in shares of the axes unless given."""
    transform = where or axes.transAxes
    axes.annotate(
        text,
        (x, y),
        (0 if align == "center" else 4, 4),
        xycoords=transform,
        textcoords="offset points",
        ha=align,
        color=svg.LIMIT,
        fontsize=11,
    )


def within_reach(limit: float | None, values: Iterable[float]) -> list[float]:
    """Return the limit when it is near enough to the values for the chart to show both."""
    return [limit] if limit is not None and limit <= 2.5 * max(values) else []


def place_tags(axes: Axes, tags: Iterable[Tag], dots: Iterable[tuple[float, float]] = ()) -> None:
    """Write the tags right of their points, pushed up where one would lie on another or on one of `dots`."""
    to_px = axes.transData.transform
    taken = [(*(to_px(dot) - (_TAG_OFFSET_PX, 0.0)), _DOT_REACH_PX) for dot in dots]
    spots = [(*to_px((tag.x, tag.y)), tag) for tag in tags]
    for x, y, tag in sorted(spots, key=lambda spot: spot[1]):
        lift = 0.0
        while any(_overlaps(x, y + lift, spot) for spot in taken):
            lift += 1.0
        taken.append((x, y + lift, _TAG_WIDTH_PX))
        _write(axes, tag, lift)


def _wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > WIDE_RANGE


def _ends(values: Sequence[float]) -> tuple[float, float]:
    if _wide(values):
        return min(values) / 1.3, max(values) * 1.4
    return 0.0, max(values) * 1.1 or 1.0


def _plain_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _overlaps(x: float, y: float, spot: tuple[float, float, float]) -> bool:
    return abs(x - spot[0]) < spot[2] and abs(y - spot[1]) < _TAG_HEIGHT_PX


def _write(axes: Axes, tag: Tag, lift: float) -> None:
    axes.annotate(
        tag.text,
        (tag.x, tag.y),
        xytext=(8, lift),
        textcoords="offset points",
        va="center",
        color=svg.INK,  # the series' colours are for lines: as text some are too pale
        fontsize=12,
        fontweight="bold",
        annotation_clip=False,
    )
