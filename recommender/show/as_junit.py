"""A recommendation as JUnit XML: one test case for each candidate.

| what came of a candidate | its test case |
| --- | --- |
| it meets every limit | passes |
| it misses one | has a `failure` |
| whether it meets them is not decided | is `skipped` |
| its load test is void, or it could not be measured | has an `error` |
"""

from __future__ import annotations

from modeldyno.base.records.run import Recommendation, Row
from modeldyno.recommender.show import console_lines
from modeldyno.recommender.show.as_markdown import ranking_table
from modeldyno.reports.answer import answer, cost, p99, throughput
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text import phrases
from modeldyno.reports.text.junit import Case, Suite, to_xml

SUITE = "dyno recommend"


def as_junit(found: Recommendation) -> str:
    """Write the ranking, best first, then what was rejected."""
    told = answer(Run(found, {})).headline
    suite = Suite(
        name=SUITE,
        timestamp=found.created_at,
        hostname=found.host.instance_type or found.host.cpu_model,
        cases=[_case(row, found.model) for row in (*found.ranking, *found.rejected)],
        properties=[
            ("answer", told),
            ("model", found.model),
            ("model.digest", found.model_digest),
            ("cpu", found.host.cpu_model),
            *(("limit", text) for text in phrases.limits(found.limits)),
        ],
        output=f"{told}\n\n{ranking_table(found)}",
    )
    return to_xml(suite)


def _case(row: Row, model: str) -> Case:
    name, class_name = console_lines.candidate(row), f"{SUITE}.{model}".replace(" ", ".")
    output = _numbers(row)
    if row.invalid_reasons:
        return Case(name, class_name, "error", "; ".join(row.invalid_reasons), "void", output=output)
    if row.rank is not None:
        return Case(name, class_name, output=output)
    why = "; ".join(row.reasons)
    if row.undecided:
        return Case(name, class_name, "skipped", row.undecided, detail=why, output=output)
    if not row.samples:
        return Case(name, class_name, "error", why, "not measured")
    return Case(name, class_name, "failure", why, "limit", output=output)


def _numbers(row: Row) -> str:
    rank = "" if row.rank is None else f"rank {row.rank}{', tie' if row.tied_with_best else ''}; "
    return (
        f"{rank}p99 {p99(row).whole}, {throughput(row).whole} requests/s, "
        f"{cost(row).whole} per million requests, {row.samples} samples"
    )
