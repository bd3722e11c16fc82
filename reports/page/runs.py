"""Several runs in one HTML file, side by side, made from their saved records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modeldyno.base.errors import ConfigError
from modeldyno.base.files import write_text
from modeldyno.reports.charts.charts import cost_chart
from modeldyno.reports.page.page import templates
from modeldyno.reports.results.run_folder import Run, read_run
from modeldyno.reports.tables.ranking import Line
from modeldyno.reports.tables.runs import best_of_each, conditions, why_not_ranked
from modeldyno.reports.view import View, view


@dataclass(frozen=True)
class Part:
    """One run on the page."""

    name: str
    page: View
    ranking: tuple[Line, ...]


def write_runs(run_dirs: Sequence[Path], output: Path) -> Path:
    """Write a page of several runs to `output` and return its path. The same records give the same bytes.

    Raises:
        ConfigError: one is no run folder, is given twice, or has a record that is damaged or newer.
        OutputError: the file could not be written.
    """
    if len({path.resolve() for path in run_dirs}) < len(run_dirs):
        raise ConfigError("a run folder is given twice: name each once")
    names = _names(run_dirs)
    write_text(
        output, render_runs([(name, read_run(path)) for name, path in zip(names, run_dirs, strict=True)])
    )
    return output


def render_runs(runs: Sequence[tuple[str, Run]]) -> str:
    """Return one HTML document of all runs, in the order given; it loads nothing and runs nothing."""
    found = conditions(runs)
    return (
        templates()
        .get_template("runs.html.j2")
        .render(
            parts_of=[_part(name, run) for name, run in runs],
            conditions=found,
            names=[name for name, _ in runs],
            why=why_not_ranked(found),
            chart=cost_chart(best_of_each(runs), band=False),
            standing_alone=False,
        )
    )


def _part(name: str, run: Run) -> Part:
    page = view(run)
    return Part(name, page, tuple(replace(line, colour=None) for line in page.ranking))


def _names(paths: Sequence[Path]) -> list[str]:
    """The folders' own names, or as much of their paths as tells them apart."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]
