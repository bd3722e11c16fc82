"""A recommendation as Markdown, for a pull request or a job's summary: the answer, then a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeldyno.base.records.levels import level_of
from modeldyno.base.records.run import Recommendation, Row
from modeldyno.recommender.show import console_lines
from modeldyno.reports.answer import answer, cost, p99, throughput
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import plain, share
from modeldyno.reports.text.markdown import MOST_BYTES, ROWS, cut, escaped, fitting, folded, table

MARKER = "<!-- dyno recommend -->"
LEAST_RANKED = 20
_FILE = "recommendation.json"
_LONGEST = 1000
_COLUMNS = (
    *("rank", "instance type", "backend", "threads x workers", "load", "p50 ms", "p99 ms"),
    *("requests/s", "$ an hour", "$ per million", "fidelity"),
)
_RIGHT = ("p50 ms", "p99 ms", "requests/s", "$ an hour", "$ per million")


def as_markdown(found: Recommendation, most_bytes: int = MOST_BYTES) -> str:
    """Write the recommendation; at most `most_bytes` of UTF-8."""

    def made(rows: int) -> str:
        return "\n\n".join([*_answer(found, rows), *_details(found, rows)]) + "\n"

    return fitting(made, "\n\n".join(_answer(found, 0)), most_bytes)


def ranking_table(found: Recommendation, rows: int = ROWS[0]) -> str:
    """Write a row for each candidate that meets the limits."""
    listed = table(_COLUMNS, map(_row, found.ranking[:rows]), right=_RIGHT)
    return listed + cut(found.ranking, rows, _FILE)


def _answer(found: Recommendation, rows: int) -> Iterator[str]:
    told = answer(Run(found, {}))
    yield f"{MARKER}\n### {escaped(told.headline, _LONGEST)}"
    if told.details:
        yield "\n".join(f"- {escaped(each, _LONGEST)}" for each in told.details[:LEAST_RANKED])
    if limits := phrases.limits(found.limits):
        yield escaped(f"Limits: {', '.join(limits)}.")
    if found.ranking:
        yield ranking_table(found, max(rows, LEAST_RANKED))


def _row(row: Row) -> tuple[str, ...]:
    mark = " (void)" if not row.valid else " (tie)" if row.tied_with_best else ""
    cells = (
        f"{row.rank}{mark}",
        row.instance_type,
        phrases.backend(row.backend),
        console_lines.settings(row.settings),
        phrases.load(*level_of(row)),
        plain(row.p50_ms),
        p99(row).whole.removesuffix(" ms").replace(" ms (", " ("),
        throughput(row).whole,
        phrases.price(row.usd_per_hour).removeprefix("$"),
        cost(row).whole.removeprefix("$"),
        row.fidelity,
    )
    return tuple(map(escaped, cells))


def _details(found: Recommendation, rows: int) -> Iterator[str]:
    if found.rejected:
        cells = [
            (escaped(console_lines.candidate(row)), escaped("; ".join(row.reasons), _LONGEST), _rate(row))
            for row in found.rejected[:rows]
        ]
        body = table(("candidate", "why", "errors"), cells, right=("errors",))
        yield folded(f"Rejected: {len(found.rejected)}", body + cut(found.rejected, rows, _FILE))
    warnings = tuple(dict.fromkeys(text for row in found.ranking for text in row.warnings))
    for title, texts in (("Warnings", warnings), ("Notes", (*found.caveats, *found.notes))):
        if texts:
            yield folded(f"{title}: {len(texts)}", _list(texts, rows))


def _list(texts: Sequence[str], rows: int) -> str:
    return "\n".join(f"- {escaped(text, _LONGEST)}" for text in texts[:rows]) + cut(texts, rows, _FILE)


def _rate(row: Row) -> str:
    return escaped(share(row.error_rate))
