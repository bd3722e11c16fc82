"""A matplotlib figure as SVG text that belongs into an HTML page.

The page's style sheet sets colours and font, so one drawing serves light, dark and print: colours are drawn
as stand-ins (`INK`, `SERIES[1]`, ...) and become CSS variables here. The same figure gives the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

import matplotlib as mpl
from matplotlib.figure import Figure

from modeldyno.reports.results.series import COLOURED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PX_PER_INCH = 72.0
BOTTOM_PX, EDGE_PX = 50.0, 9.0

# Stand-ins that no chart uses for itself; index 0 of SERIES is for "the others".
SERIES = tuple(f"#a1000{number}" for number in range(COLOURED + 1))
INK, MUTED, GRID, LIMIT, CARD, BAND = (f"#a1001{number}" for number in range(6))
_VARIABLES = {
    **{stand_in: f"var(--s{number})" for number, stand_in in enumerate(SERIES)},
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    LIMIT: "var(--limit)",
    CARD: "var(--card)",
    BAND: "var(--band)",
}
# Any: matplotlib types its keys as literals, which differ from version to version.
_STYLE: Any = {
    "svg": {"fonttype": "none", "hashsalt": "modeldyno"},
    "text": {"parse_math": False, "color": INK},
    "font": {"family": "DejaVu Sans", "size": 12.0},
    "figure": {"facecolor": "none", "dpi": PX_PER_INCH},
    "axes": {
        "labelcolor": MUTED,
        "edgecolor": GRID,
        "facecolor": "none",
        "grid": True,
        "axisbelow": True,
        "labelpad": 8,
    },
    "axes.spines": {"top": False, "right": False},
    "grid": {"color": GRID, "linewidth": 0.8},
    "xtick": {"color": GRID, "labelcolor": MUTED},
    "ytick": {"color": GRID, "labelcolor": MUTED},
}


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw in the page's style. Global settings of the caller come back when the block ends."""
    with mpl.rc_context(), catch_warnings():
        mpl.rcdefaults()
        for group, values in _STYLE.items():
            mpl.rc(group, **values)
        # The page's own font draws the text; that matplotlib's cannot measure every script does no harm.
        filterwarnings("ignore", message=r"Glyph \d+ ")
        filterwarnings("ignore", message=r"Matplotlib currently does not support")
        yield


def new_axes(width_px: float, height_px: float, left_px: float = 68.0) -> tuple[Figure, Axes]:
    """Start a figure with one pair of axes; its units are CSS pixels at full size.

    The margins are fixed, with room for six digits: fitting them to the labels takes longer than the drawing.
    """
    figure = Figure(figsize=(width_px / PX_PER_INCH, height_px / PX_PER_INCH))
    left, bottom = left_px / width_px, BOTTOM_PX / height_px
    axes = figure.add_axes(
        (left, bottom, 1.0 - left - EDGE_PX / width_px, 1.0 - bottom - EDGE_PX / height_px)
    )
    return figure, axes


def inline_svg(figure: Figure, name: str, description: str, title: str) -> str:
    """Return `figure` as an `<svg>` element; `name` is unique in the page and keeps ids apart.

    `description` is what the figure shows, in words.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    body = re.search(r"<svg[^>]*viewBox=\"([^\"]+)\"[^>]*>(.*)</svg>", stream.getvalue(), re.DOTALL)
    if body is None:
        raise AssertionError("matplotlib wrote no <svg> with a viewBox")
    box, inner = body.groups()
    label = html.escape(description)
    said = f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{label}</desc>'
    by = f'aria-labelledby="{name}-title" aria-describedby="{name}-desc"'
    return f'<svg class="chart" viewBox="{box}" role="img" {by}>{said}{_clean(inner, name)}</svg>'


def _clean(inner: str, name: str) -> str:
    for pattern in (r"<metadata>.*?</metadata>", r"<!--.*?-->", r"<style[^>]*>.*?</style>"):
        inner = re.sub(pattern, "", inner, flags=re.DOTALL)
    return _compact(_recolour(_own_ids(inner, name)))


def _own_ids(inner: str, name: str) -> str:
    """Drop the ids that nothing refers to, and make the others the chart's own."""
    wanted = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", inner))

    def renamed(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in wanted else ""

    inner = re.sub(r' id="([^"]*)"', renamed, inner)
    inner = re.sub(r"url\(#", f"url(#{name}-", inner)
    return re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', inner)


def _recolour(inner: str) -> str:
    for stand_in, variable in _VARIABLES.items():
        inner = inner.replace(stand_in, variable)
    return re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", inner)


def _compact(inner: str) -> str:
    return re.sub(r">\s+<", "><", inner.strip())
