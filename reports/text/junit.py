"""JUnit XML, as GitLab, Jenkins and the common GitHub actions read it: one suite, one case a judgement."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # only writes: nothing foreign is parsed
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failure", "error", "skipped"]
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One judgement. `kind` is the `type` of a failure or an error."""

    name: str
    class_name: str
    outcome: Outcome = "passed"
    message: str = ""
    kind: str = ""
    detail: str = ""
    seconds: float = 0.0
    output: str = ""
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Suite:
    """All of them, and what else is known."""

    name: str
    timestamp: str
    hostname: str
    cases: Sequence[Case]
    seconds: float = 0.0
    properties: Sequence[tuple[str, str]] = ()
    output: str = ""


def to_xml(suite: Suite) -> str:
    """Write a suite; characters that XML lacks become U+FFFD."""
    root = ET.Element("testsuites", _counts(suite))
    one = ET.SubElement(
        root, "testsuite", _counts(suite) | {"timestamp": suite.timestamp, "hostname": _clean(suite.hostname)}
    )
    listed = ET.SubElement(one, "properties")
    for name, value in suite.properties:
        ET.SubElement(listed, "property", {"name": _clean(name), "value": _clean(value)})
    for case in suite.cases:
        _add(one, case)
    if suite.output:
        ET.SubElement(one, "system-out").text = _clean(suite.output)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _counts(suite: Suite) -> dict[str, str]:
    def count(outcome: Outcome) -> str:
        return str(sum(case.outcome == outcome for case in suite.cases))

    return {
        "name": _clean(suite.name),
        "tests": str(len(suite.cases)),
        "failures": count("failure"),
        "errors": count("error"),
        "skipped": count("skipped"),
        "time": f"{suite.seconds:.3f}",
    }


def _add(suite: ET.Element, case: Case) -> None:
    place = {"file": case.file, "line": None if case.line is None else str(case.line)}
    found = ET.SubElement(
        suite,
        "testcase",
        {"name": _clean(case.name), "classname": _clean(case.class_name), "time": f"{case.seconds:.3f}"}
        | {name: _clean(value) for name, value in place.items() if value is not None},
    )
    if case.outcome != "passed":
        kind = {"type": case.kind} if case.kind and case.outcome != "skipped" else {}
        what = ET.SubElement(found, case.outcome, {"message": _clean(case.message)} | kind)
        what.text = _clean(case.detail) or None
    if case.output:
        ET.SubElement(found, "system-out").text = _clean(case.output)


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
