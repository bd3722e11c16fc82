"""What JUnit XML may hold, after the schema of Jenkins' xunit plugin: elements, attributes, children."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

COUNTS = {"name", "tests", "failures", "errors", "skipped", "time"}
MESSAGE = {"message", "type"}
ATTRIBUTES = {
    "testsuites": COUNTS,
    "testsuite": COUNTS | {"timestamp", "hostname"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time", "file", "line"},
    "failure": MESSAGE,
    "error": MESSAGE,
    "skipped": {"message"},
    "system-out": set(),
}
NEEDED = {
    "testsuites": COUNTS,
    "testsuite": COUNTS | {"timestamp", "hostname"},
    "property": {"name", "value"},
    "testcase": {"name", "classname", "time"},
    "failure": MESSAGE,
    "error": MESSAGE,
    "skipped": {"message"},
}
# In this order, as a schema's sequence has them.
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-out"],
    "properties": ["property"],
    "testcase": ["failure", "error", "skipped", "system-out"],
}
OUTCOMES = ("failure", "error", "skipped")


def parsed(text: str) -> ET.Element:
    """Read it, and refuse what the schema does."""
    root = ET.fromstring(text)  # noqa: S314 - we wrote it
    assert root.tag == "testsuites"
    assert list(_mistakes(root)) == []
    return root


def outcomes(text: str) -> dict[str, str]:
    """Give each case's name with what became of it."""
    found = {}
    for case in parsed(text).iter("testcase"):
        tags = [one.tag for one in case if one.tag in OUTCOMES]
        assert len(tags) <= 1
        found[case.attrib["name"]] = tags[0] if tags else "passed"
    return found


def _mistakes(element: ET.Element) -> Iterator[str]:
    attributes = set(element.attrib)
    if unknown := attributes - ATTRIBUTES[element.tag]:
        yield f"{element.tag} has {unknown}"
    if missing := NEEDED.get(element.tag, set()) - attributes:
        yield f"{element.tag} lacks {missing}"
    order = CHILDREN.get(element.tag, [])
    places = [order.index(child.tag) if child.tag in order else -1 for child in element]
    if -1 in places or places != sorted(places):
        yield f"{element.tag} holds {[child.tag for child in element]}"
    if element.tag == "testsuite":
        yield from _counts(element)
    for child in element:
        yield from _mistakes(child)


def _counts(suite: ET.Element) -> Iterator[str]:
    cases = suite.findall("testcase")
    names = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    counted = {count: sum(case.find(tag) is not None for case in cases) for count, tag in names.items()}
    for name, number in (counted | {"tests": len(cases)}).items():
        if int(suite.attrib[name]) != number:
            yield f"{name} is {suite.attrib[name]}, and there are {number}"
