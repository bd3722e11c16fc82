"""A gate as JUnit XML: one test case for each metric.

| what the gate says of a metric | its test case |
| --- | --- |
| pass, improvement | passes |
| regression | has a `failure` |
| not decided | is `skipped`, or with `--inconclusive-is fail` has a `failure` |
| not decided, the measurement being void | has an `error` |

A gate that could not run at all has one case with an `error`: `of_error`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from modeldyno.base.records.gate import GateMetric, GateRecord
from modeldyno.gate.show import words
from modeldyno.gate.show.markdown import metrics_table
from modeldyno.reports.text.junit import Case, Suite, to_xml

InconclusiveIs = Literal["fail", "pass"]
SUITE = "dyno gate"


def junit(record: GateRecord, inconclusive_is: InconclusiveIs = "pass", name: str | None = None) -> str:
    """Write the record; `name` is that of what is gated (default: of the candidate's reference)."""
    class_name = f"{SUITE}.{name or words.subject(record)}".replace(" ", ".")
    cases = [_case(record, each, class_name, inconclusive_is) for each in record.metrics]
    if not cases:  # equal digests: readers take a file without a test for a mistake
        cases = [_whole(record, class_name, inconclusive_is)]
    suite = Suite(
        name=SUITE,
        timestamp=record.created_at,
        hostname=record.host.instance_type or record.host.cpu_model,
        cases=cases,
        seconds=record.seconds,
        properties=_properties(record),
        output=metrics_table(record),
    )
    return to_xml(suite)


def of_error(message: str, *, candidate: str, created_at: str) -> str:
    """Write a gate that could not run: one case with an error.

    created_at: ISO 8601. candidate: as the user named it.
    """
    name = PurePosixPath(candidate).name or candidate
    first = message.partition("\n")[0]
    case = Case("gate", f"{SUITE}.{name}".replace(" ", "."), "error", first, "not measured", message)
    return to_xml(Suite(name=SUITE, timestamp=created_at, hostname="", cases=[case]))


def _case(record: GateRecord, metric: GateMetric, class_name: str, inconclusive_is: InconclusiveIs) -> Case:
    made = Case(metric.metric, class_name, seconds=metric.decided_s or 0.0, output=_facts(metric))
    return _judged(record, made, words.verdict(record, metric), metric.text, inconclusive_is)


def _whole(record: GateRecord, class_name: str, inconclusive_is: InconclusiveIs) -> Case:
    made = Case("gate", class_name, seconds=record.seconds)
    return _judged(record, made, record.verdict, record.headline, inconclusive_is)


def _judged(record: GateRecord, case: Case, verdict: str, text: str, inconclusive_is: InconclusiveIs) -> Case:
    if verdict == "regression":
        return replace(case, outcome="failure", message=text, kind="regression", detail=record.headline)
    if verdict != "inconclusive":
        return case
    void = words.void(record)
    if void is not None:
        said = words.warning(void)
        return replace(case, outcome="error", message=said, kind="void", detail=record.headline)
    if inconclusive_is == "fail":
        return replace(case, outcome="failure", message=text, kind="not decided", detail=record.headline)
    return replace(case, outcome="skipped", message=text)


def _facts(metric: GateMetric) -> str:
    """Say what a case rests on; readers show it beside those that pass, too."""
    sides = f"{words.value(metric, metric.baseline)} -> {words.value(metric, metric.candidate)}"
    return f"{words.title(metric)}: {metric.text} [{sides}]"


def _properties(record: GateRecord) -> list[tuple[str, str]]:
    found = [
        ("verdict", record.verdict),
        ("baseline", record.baseline.reference),
        ("baseline.digest", record.baseline.digest),
        ("candidate", record.candidate.reference),
        ("candidate.digest", record.candidate.digest),
        ("cpu", record.host.cpu_model),
        ("load", words.load(record)),
        ("pairs", str(record.pairs)),
        ("pairs_dropped", str(record.pairs_dropped)),
        ("alpha", f"{record.load.alpha:g}"),
        ("seed", str(record.load.seed)),
        ("command", record.command),
    ]
    for each in record.metrics:
        if each.change is not None:
            found.append((f"{each.metric}.change", f"{each.change:.5f}"))
        if each.smallest_found is not None:
            found.append((f"{each.metric}.smallest_found", f"{each.smallest_found:.5f}"))
    return found
