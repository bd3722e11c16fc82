"""A gate as Markdown, for a pull request or a job's summary: the answer first, details folded.

GitHub drops a comment over 64 KiB and a summary over 1 MiB whole. This stays below
MOST_BYTES: long lists of details are cut first, and say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeldyno.base.records.gate import GateMetric, GateRecord, GateSide
from modeldyno.gate.show import words
from modeldyno.gate.show.console import kernel_times
from modeldyno.reports.text.digits import MISSING, count, plain, share
from modeldyno.reports.text.markdown import (
    MOST_BYTES,
    ROWS,
    code,
    code_block,
    cut,
    escaped,
    fitting,
    folded,
    one_line,
    table,
)

MARKER = "<!-- dyno gate -->"
"""First line: by it the comment of an earlier run is found again."""
OPEN = ("regression", "inconclusive")
_LONGEST_TEXT, _LONGEST_COMMAND = 1000, 4000


def markdown(record: GateRecord, most_bytes: int = MOST_BYTES) -> str:
    """Write the record; at most `most_bytes` of UTF-8, of which details take what the answer leaves."""

    def made(rows: int) -> str:
        return "\n\n".join([*_answer(record, rows), *_details(record, rows)]) + "\n"

    return fitting(made, "\n\n".join(_answer(record, 0)), most_bytes)


def metrics_table(record: GateRecord, rows: int = ROWS[0]) -> str:
    """Write a row for each metric."""
    columns = ("metric", "baseline", "candidate", "change", "limit", "verdict")
    right = columns[1:5]
    return table(columns, (_row(record, each) for each in record.metrics[:rows]), right=right) + _cut(
        record.metrics, rows
    )


def _answer(record: GateRecord, rows: int) -> Iterator[str]:
    yield f"{MARKER}\n### {escaped(record.headline, _LONGEST_TEXT)}"
    if differ := words.outputs_differ(record):
        yield f"**{escaped(differ, _LONGEST_TEXT)}**"
    if record.metrics:
        yield metrics_table(record, max(rows, 20))
        lines = [
            f"- {escaped(words.title(each))}: {escaped(each.text, _LONGEST_TEXT)}" for each in _told(record)
        ]
        if lines:
            yield "\n".join(lines[:20])
    warnings = words.warnings(record)[: words.MOST_WARNINGS]
    if warnings:
        yield "\n".join(f"- {escaped(words.warning(each), _LONGEST_TEXT)}" for each in warnings)
    if found := words.found(record):
        yield escaped(found, _LONGEST_TEXT)


def _told(record: GateRecord) -> list[GateMetric]:
    """Give the metrics that the table does not say all about."""
    return [each for each in record.metrics if words.verdict(record, each) in OPEN]


def _row(record: GateRecord, metric: GateMetric) -> tuple[str, ...]:
    verdict = words.verdict(record, metric)
    said = words.said(record, metric)
    return (
        escaped(words.title(metric)),
        escaped(words.value(metric, metric.baseline)),
        escaped(words.value(metric, metric.candidate)),
        escaped(words.change(metric)),
        escaped(words.limit(metric)),
        f"**{said}**" if verdict in OPEN else said,
    )


def _details(record: GateRecord, rows: int) -> Iterator[str]:
    more = words.warnings(record)[words.MOST_WARNINGS :]
    if more:
        lines = [f"- {escaped(words.warning(each), _LONGEST_TEXT)}" for each in more[:rows]]
        yield folded(f"{count(len(more), 'more warning')}", "\n".join(lines) + _cut(more, rows))
    if record.kernels:
        kernels = [
            (code(each.name), _ms(each.baseline_ms), _ms(each.candidate_ms), share(each.share))
            for each in record.kernels[:rows]
        ]
        columns = ("kernel", "baseline ms", "candidate ms", "of the difference")
        body = table(columns, kernels, right=columns[1:])
        first = record.kernels[0]
        summary = f"Kernels: {one_line(first.name, 60)}, {kernel_times(first)}, is {share(first.share)} of it"
        yield folded(summary, body + _cut(record.kernels, rows))
    if record.fields:
        fields = [
            (code(each.field), code(each.baseline), code(each.candidate)) for each in record.fields[:rows]
        ]
        body = table(("field", "baseline", "candidate"), fields) + _cut(record.fields, rows)
        yield folded(f"{count(len(record.fields), 'setting')} in which the two differ", body)
    yield folded("How it was measured", _method(record))


def _method(record: GateRecord) -> str:
    sides = [_side("baseline", record.baseline), _side("candidate", record.candidate)]
    columns = ("side", "what", "digest", "starts", "requests", "errors", "memory")
    facts = [f"- {escaped(words.measured(record))}", f"- Load: {escaped(words.load(record))}"]
    if record.outputs is not None:
        bodies = count(record.outputs.bodies, "request")
        facts.append(f"- Answers to {bodies}: {escaped(record.outputs.text)}")
    facts.append(f"- Machine: {escaped(record.host.cpu_model)}, {count(record.host.usable_cores, 'core')}")
    parts = [table(columns, sides, right=columns[3:]), "\n".join(facts)]
    if record.command:
        parts.append(f"Again:\n\n{code_block(record.command[:_LONGEST_COMMAND])}")
    return "\n\n".join(parts)


def _side(name: str, side: GateSide) -> tuple[str, ...]:
    memory = MISSING if side.memory_mib is None else f"{side.memory_mib:.0f} MiB"
    what = f"{side.kind} {side.detail}".strip()
    return (
        f"{name} {code(side.reference)}",
        escaped(what),
        code(side.digest[:16]),
        str(side.starts),
        f"{side.requests:,}",
        f"{side.errors:,}",
        memory,
    )


def _ms(value: float | None) -> str:
    return MISSING if value is None else plain(value)


def _cut(listed: Sequence[object], rows: int) -> str:
    return cut(listed, rows, "gate.json")
