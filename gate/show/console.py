"""What a gate says on the console: the answer first, then why, how sure, and how to do it again."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator

import click

from modeldyno.base.records.gate import GateMetric, GateRecord, GateVerdict, KernelChange
from modeldyno.gate.show import words
from modeldyno.reports.text.digits import MISSING, plain, share

COLOURS: dict[GateVerdict, str] = {
    "regression": "red",
    "pass": "green",
    "improvement": "green",
    "inconclusive": "yellow",
}
MOST_CAUSES = 3
_NARROWEST = 40


def print_gate(record: GateRecord, *, as_json: bool = False) -> None:
    """Print the record for a person, or as JSON. Lines are broken and coloured on a terminal alone."""
    if as_json:
        click.echo(record.model_dump_json(indent=2))
        return
    on_screen = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if on_screen else None
    first, *rest = lines(record, width)
    coloured = on_screen and "NO_COLOR" not in os.environ
    click.echo(click.style(first, fg=COLOURS[record.verdict], bold=True) if coloured else first)
    for line in rest:
        click.echo(line)


def lines(record: GateRecord, width: int | None = None) -> list[str]:
    """Give the lines; `width` is that of the screen, None: a line is never broken."""
    return [line for text, indent in _texts(record) for line in _broken(text, indent, width)]


def _texts(record: GateRecord) -> Iterator[tuple[str, int]]:
    """Give each line, and how far what does not fit on it is set in."""
    yield record.headline, 0
    if differ := words.outputs_differ(record):
        yield differ, 0
    names, verdicts = _widths(record)
    for each in record.metrics:
        start = f"  {words.title(each):{names}}  {words.said(record, each):{verdicts}}  "
        yield start + each.text + _values(each), len(start)
    yield from ((text, 4) for text in _causes(record))
    given = words.warnings(record)
    yield from ((words.warning(each), 2) for each in given[: words.MOST_WARNINGS])
    if len(given) > words.MOST_WARNINGS:
        yield f"and {len(given) - words.MOST_WARNINGS} more of less weight: gate.json has all", 2
    yield words.measured(record), 2
    if found := words.found(record):
        yield found, 2
    if record.command:
        yield f"again: {record.command}", 2


def _widths(record: GateRecord) -> tuple[int, int]:
    return (
        max((len(words.title(each)) for each in record.metrics), default=0),
        max((len(words.said(record, each)) for each in record.metrics), default=0),
    )


def _values(metric: GateMetric) -> str:
    if metric.baseline is None or metric.candidate is None:
        return ""
    return f" [{words.value(metric, metric.baseline)} -> {words.value(metric, metric.candidate)}]"


def _causes(record: GateRecord) -> Iterator[str]:
    """Name what makes the difference, where something got slower."""
    if record.verdict != "regression":
        return
    for each in record.kernels[:MOST_CAUSES]:
        yield f"  {share(each.share)} of it: kernel {each.name}, {kernel_times(each)}"
    for one in record.fields[:MOST_CAUSES]:
        yield f"  differs: {one.field}: {one.baseline} -> {one.candidate}"


def kernel_times(each: KernelChange) -> str:
    """Word how long a kernel takes on both sides."""
    if each.baseline_ms is None:
        return f"new, {plain(each.candidate_ms)} ms"
    if each.candidate_ms is None:
        return f"gone, was {plain(each.baseline_ms)} ms"
    return f"{plain(each.baseline_ms)} -> {plain(each.candidate_ms)} ms"


def _broken(text: str, indent: int, width: int | None) -> list[str]:
    line = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.splitlines()))
    line = line.replace(MISSING, "-")
    if width is None:
        return [line]
    indent = min(indent, max(width - _NARROWEST, 2))
    return textwrap.wrap(
        line, max(width, _NARROWEST), subsequent_indent=" " * indent, break_on_hyphens=False
    ) or [line]
