"""The files that a gate writes beside gate.json, each made from its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from modeldyno.base.records.gate import GateRecord

BIGGER = ".bigger"
"""Before the suffix of github-action-benchmark's second file: what is better bigger."""


class Asked(Protocol):
    """The options that name files, as GateOptions has them; `-` is standard output."""

    @property
    def markdown(self) -> Path | None:
        """Of Markdown."""

    @property
    def junit(self) -> Path | None:
        """Of JUnit XML."""

    @property
    def html(self) -> Path | None:
        """Of the report."""

    @property
    def github_benchmark(self) -> Path | None:
        """Of github-action-benchmark's JSON."""

    @property
    def bencher(self) -> Path | None:
        """Of Bencher's JSON."""

    @property
    def openmetrics(self) -> Path | None:
        """Of OpenMetrics text."""

    @property
    def sarif(self) -> Path | None:
        """Of SARIF."""

    @property
    def sarif_anchor(self) -> str | None:
        """FILE:LINE that its alerts stand at."""

    @property
    def inconclusive_is(self) -> Literal["fail", "pass"] | None:
        """What a gate that is not decided is for CI."""


def check(asked: Asked, *, as_json: bool = False) -> bool:
    """Refuse what can't be written, before anything is measured; say whether one is standard output.

    Raises:
        ConfigError: `sarif_anchor` names no line of the repository.
        UsageError: more than one result is to go to standard output.
    """
    from modeldyno.base.command.outputs import check_one_on_stdout
    from modeldyno.gate.show.sarif import parse_anchor

    if asked.sarif_anchor is not None:
        parse_anchor(asked.sarif_anchor)
    paths = (asked.markdown, asked.junit, asked.html, asked.github_benchmark)
    return check_one_on_stdout((*paths, asked.bencher, asked.openmetrics, asked.sarif), also=as_json)


def write_outputs(record: GateRecord, asked: Asked) -> None:
    """Write each format that is asked for, whole or not at all.

    Raises:
        OutputError: a file can't be written.
    """
    from modeldyno.base.files import write_text

    for path, made in _makers(record, asked):
        if path is not None:
            write_text(path, made())


def write_error(message: str, candidate: str, created_at: str, asked: Asked) -> None:
    """Write a gate that could not run where test results are read: in JUnit XML."""
    from modeldyno.base.files import write_text
    from modeldyno.gate.show.junit import of_error

    if asked.junit is not None:
        write_text(asked.junit, of_error(message, candidate=candidate, created_at=created_at))


def beside(path: Path) -> Path:
    """Give the place of github-action-benchmark's second file: `out.json` has `out.bigger.json` beside it."""
    return path.with_name(f"{path.stem}{BIGGER}{path.suffix}")


def _makers(record: GateRecord, asked: Asked) -> list[tuple[Path | None, Callable[[], str]]]:
    from modeldyno.gate.show import bench_json, words
    from modeldyno.gate.show.junit import junit
    from modeldyno.gate.show.markdown import markdown
    from modeldyno.gate.show.openmetrics import openmetrics
    from modeldyno.gate.show.sarif import Anchor, parse_anchor, sarif

    def page() -> str:  # draws: imported only where it is asked for
        from modeldyno.gate.show.page import render

        return render(record)

    smaller = asked.github_benchmark
    in_two = any(map(words.more_is_better, record.metrics)) and smaller is not None and smaller.name != "-"
    anchor = Anchor() if asked.sarif_anchor is None else parse_anchor(asked.sarif_anchor)
    return [
        (asked.markdown, lambda: markdown(record)),
        (asked.junit, lambda: junit(record, asked.inconclusive_is or "pass")),
        (asked.html, page),
        (smaller, lambda: bench_json.smaller_is_better(record)),
        (beside(smaller) if smaller and in_two else None, lambda: bench_json.bigger_is_better(record)),
        (asked.bencher, lambda: bench_json.bencher(record)),
        (asked.openmetrics, lambda: openmetrics(record)),
        (asked.sarif, lambda: sarif(record, anchor)),
    ]
