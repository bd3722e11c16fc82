"""Which files a gate writes beside gate.json: an option for each format, and the writing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from modeldyno.base.settings import Setting

if TYPE_CHECKING:
    from modeldyno.base.records.gate import GateRecord

Named = Path | None


@dataclass(frozen=True)
class OutputSettings:
    """The files to write; `-` is standard output."""

    markdown: Annotated[
        Named,
        Setting("Write Markdown for a pull request or a job's summary.", path="file or -", metavar="FILE"),
    ] = None
    junit: Annotated[
        Named, Setting("Write JUnit XML, a test case for each metric.", path="file or -", metavar="FILE")
    ] = None
    html: Annotated[Named, Setting("Write a report as one HTML file.", path="file or -", metavar="FILE")] = (
        None
    )
    openmetrics: Annotated[
        Named,
        Setting("Write OpenMetrics text, as GitLab's metrics reports.", path="file or -", metavar="FILE"),
    ] = None
    bencher: Annotated[
        Named, Setting("Write Bencher's Metric Format (JSON).", path="file or -", metavar="FILE")
    ] = None
    bench_smaller: Annotated[
        Named,
        Setting(
            "Write github-action-benchmark's JSON of what is better smaller: latencies, CPU time, sizes.",
            path="file or -",
            metavar="FILE",
        ),
    ] = None
    bench_bigger: Annotated[
        Named,
        Setting(
            "Write github-action-benchmark's JSON of what is better bigger: throughput.",
            path="file or -",
            metavar="FILE",
        ),
    ] = None
    sarif: Annotated[
        Named, Setting("Write SARIF, as GitHub's code scanning.", path="file or -", metavar="FILE")
    ] = None
    sarif_anchor: Annotated[
        str,
        Setting("Line of the repository at which alerts of `sarif` stand.", metavar="FILE:LINE"),
    ] = "pyproject.toml:1"
    name: Annotated[
        str | None,
        Setting(
            "Name of what is gated in JUnit, SARIF and benchmark files; keep it from commit to commit.",
            absent="the last part of the candidate's reference",
            metavar="NAME",
        ),
    ] = None
    inconclusive_is: Annotated[
        Literal["fail", "pass"] | None,
        Setting(
            "What a gate that is not decided is for CI: exit code 1 and a failure in JUnit, or 0.",
            absent="exit code 3, skipped in JUnit",
        ),
    ] = None

    @property
    def paths(self) -> tuple[Named, ...]:
        """Every file, asked for or not."""
        return (
            *(self.markdown, self.junit, self.html, self.openmetrics),
            *(self.bencher, self.bench_smaller, self.bench_bigger, self.sarif),
        )


def check(settings: OutputSettings, *, as_json: bool = False) -> None:
    """Refuse what can't be written, before anything is measured.

    Raises:
        ConfigError: `sarif_anchor` names no line of the repository.
        UsageError: more than one result is to go to standard output.
    """
    from modeldyno.base.command.outputs import check_one_on_stdout
    from modeldyno.gate.show.sarif import parse_anchor

    parse_anchor(settings.sarif_anchor)
    check_one_on_stdout(settings.paths, also=as_json)


def write_outputs(record: GateRecord, settings: OutputSettings) -> None:
    """Write each format that is asked for, whole or not at all.

    Raises:
        OutputError: a file can't be written.
    """
    from modeldyno.base.command.outputs import write_or_print

    for path, made in _asked(record, settings):
        write_or_print(path, made())


def write_error(message: str, candidate: str, created_at: str, settings: OutputSettings) -> None:
    """Write a gate that could not run where test results are read: in JUnit XML."""
    from modeldyno.base.command.outputs import write_or_print
    from modeldyno.gate.show.junit import of_error

    if settings.junit is not None:
        write_or_print(settings.junit, of_error(message, candidate=candidate, created_at=created_at))


def _asked(record: GateRecord, settings: OutputSettings) -> list[tuple[Path, Callable[[], str]]]:
    from modeldyno.gate.show import bench_json
    from modeldyno.gate.show.junit import junit
    from modeldyno.gate.show.markdown import markdown
    from modeldyno.gate.show.openmetrics import openmetrics
    from modeldyno.gate.show.sarif import parse_anchor, sarif

    name = settings.name

    def page() -> str:  # draws: imported only where it is asked for
        from modeldyno.gate.show.page import render

        return render(record)

    makers: list[tuple[Named, Callable[[], str]]] = [
        (settings.markdown, lambda: markdown(record)),
        (settings.junit, lambda: junit(record, settings.inconclusive_is or "pass", name)),
        (settings.html, page),
        (settings.openmetrics, lambda: openmetrics(record)),
        (settings.bencher, lambda: bench_json.bencher(record, name)),
        (settings.bench_smaller, lambda: bench_json.smaller_is_better(record, name)),
        (settings.bench_bigger, lambda: bench_json.bigger_is_better(record, name)),
        (settings.sarif, lambda: sarif(record, parse_anchor(settings.sarif_anchor), name)),
    ]
    return [(path, made) for path, made in makers if path is not None]
