"""The one-file HTML report of a run, made from its saved records alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from modeldyno.base.files import write_text
from modeldyno.base.records.run import Limits
from modeldyno.reports.charts.charts import cost_chart, distribution_chart, throughput_chart, timeline_chart
from modeldyno.reports.charts.forest import Mark, Words, forest_chart
from modeldyno.reports.charts.overlay import overlay_chart
from modeldyno.reports.figures import distances, ratios, sides
from modeldyno.reports.page.plots import plots
from modeldyno.reports.results.run_folder import Run, read_run
from modeldyno.reports.results.series import Series
from modeldyno.reports.view import bars, view

REPORT_NAME = "report.html"
_NUMBER_AND_UNIT = re.compile(
    r"(?<=[\d∞]) (?=(?:ms|s|%|users?|req/s|threads?|workers?|GiB|MiB|vCPUs?)\b|[%\u00d7])|(?<=\u00d7) "
)


@dataclass(frozen=True)
class TimeLine:
    """One small chart with its series."""

    series: Series
    svg: str | None


@dataclass(frozen=True)
class Drawings:
    """The charts; None where there is nothing to draw."""

    distances: str | None
    ratios: str | None
    overlay: str | None
    p50: str | None
    p99: str | None
    cost: str | None
    spread: str | None
    time_lines: tuple[TimeLine, ...]


def write_report(run_dir: Path, output: Path | None = None) -> Path:
    """Write the report of `run_dir` to `output` (default `run_dir/report.html`) and return its path.

    The same records give the same bytes.

    Raises:
        ConfigError: `run_dir` is no run folder, or a record is damaged or of a newer schema.
        OutputError: the file could not be written.
    """
    path = output or run_dir / REPORT_NAME
    write_text(path, render(read_run(run_dir)))
    return path


def render(run: Run) -> str:
    """Return the report as one HTML document that loads nothing else."""
    page = view(run)
    drawings = _draw(run, page.series, run.recommendation.limits)
    return (
        templates()
        .get_template("report.html.j2")
        .render(page=page, drawings=drawings, plots=plots(page.series))
    )


def keep_together(text: str) -> str:
    """Put a no-break space between a number and its unit."""
    return _NUMBER_AND_UNIT.sub("\u00a0", text)


def _draw(run: Run, series: tuple[Series, ...], limits: Limits) -> Drawings:
    coloured = tuple(one for one in series if one.colour)
    apart, faster = distances(run), ratios(run)
    return Drawings(
        distances=forest_chart(apart, _words("distances", apart)),
        ratios=forest_chart(faster, _words("ratios", faster)),
        overlay=overlay_chart(sides(run)),
        p50=throughput_chart(series, 50.0, limits),
        p99=throughput_chart(series, 99.0, limits),
        cost=cost_chart(bars(run), band=run.recommendation.comparison is None),
        spread=distribution_chart(coloured, limits),
        time_lines=tuple(TimeLine(one, timeline_chart(one, limits.p99_ms)) for one in series),
    )


TITLES = {
    "distances": ("How far apart the configurations are", "cost against the best of the others"),
    "ratios": ("Compiled against ONNX Runtime", "requests answered, compiled against ONNX Runtime"),
}


def _words(name: str, marks: tuple[Mark, ...]) -> Words:
    title, foot = TITLES[name]
    return Words(name, title, "; ".join(f"{mark.label}: {mark.text}" for mark in marks) + ".", foot)


def templates() -> Environment:
    """Return the environment of the pages: everything that is not marked safe is escaped."""
    environment = Environment(
        loader=PackageLoader("modeldyno.reports.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["together"] = keep_together
    return environment
