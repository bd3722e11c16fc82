"""JUnit XML: which answer is which outcome."""

from __future__ import annotations

import pytest

from modeldyno.gate.show.junit import InconclusiveIs, junit, of_error
from tests.gate.show.junit_schema import outcomes, parsed
from tests.gate.show.samples import ALL, EQUAL, IMPROVEMENT, REGRESSION, UNDECIDED, URLS, VOID, poisoned


def test_a_regression_fails_and_the_rest_passes() -> None:
    assert outcomes(junit(REGRESSION)) == {
        "p50_ms": "failure",
        "throughput_rps": "passed",
        "artifact_bytes": "passed",
    }
    failure = parsed(junit(REGRESSION)).find(".//failure")
    assert failure is not None
    assert failure.attrib == {
        "message": "slower by 6.1 % (5.3 to 7.0), over the limit of 5 %",
        "type": "regression",
    }
    assert outcomes(junit(IMPROVEMENT)) == {"p50_ms": "passed"}


@pytest.mark.parametrize(("inconclusive_is", "outcome"), [("pass", "skipped"), ("fail", "failure")])
def test_not_decided_is_what_the_user_says_it_is(inconclusive_is: InconclusiveIs, outcome: str) -> None:
    assert outcomes(junit(UNDECIDED, inconclusive_is)) == {"p50_ms": outcome}


@pytest.mark.parametrize("inconclusive_is", ["pass", "fail"])
def test_a_void_measurement_is_an_error(inconclusive_is: InconclusiveIs) -> None:
    text = junit(VOID, inconclusive_is)
    assert outcomes(text) == {"p50_ms": "error"}
    error = parsed(text).find(".//error")
    assert error is not None
    assert error.attrib["message"].startswith("void: requests were sent late. To do:")


def test_a_regression_that_is_not_held_against_the_candidate_is_no_failure() -> None:
    assert outcomes(junit(URLS))["p50_ms"] == "skipped"
    assert outcomes(junit(URLS, "fail"))["p50_ms"] == "failure"


def test_equal_sides_are_one_case_that_passes() -> None:
    assert outcomes(junit(EQUAL)) == {"gate": "passed"}


def test_a_gate_that_could_not_run_is_an_error() -> None:
    message = "no model at b/x.onnx\nwith a log"
    text = of_error(message, candidate="b/x.onnx", created_at="2026-08-01T12:00:00+00:00")
    assert outcomes(text) == {"gate": "error"}
    error = parsed(text).find(".//error")
    assert error is not None
    assert (error.attrib["message"], error.text) == ("no model at b/x.onnx", message)
    assert 'classname="dyno.gate.x.onnx"' in text


@pytest.mark.parametrize("made", [*ALL.values(), poisoned()], ids=[*ALL, "markup"])
def test_every_record_follows_the_schema(made: object) -> None:
    assert isinstance(made, type(REGRESSION))
    root = parsed(junit(made))
    assert root.attrib["time"] == f"{made.seconds:.3f}"
    assert {
        case.attrib["classname"].split(".")[:2] == ["dyno", "gate"] for case in root.iter("testcase")
    } == {True}


def test_what_it_rests_on_is_in_the_properties_and_the_table_in_the_output() -> None:
    suite = parsed(junit(REGRESSION, name="resnet")).find("testsuite")
    assert suite is not None
    properties = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert properties["verdict"] == "regression"
    assert properties["baseline.digest"] == "digest-of-main"
    assert properties["p50_ms.smallest_found"] == "0.02100"
    assert "| p50 latency | 10.2 ms |" in (suite.findtext("system-out") or "")
    assert {case.attrib["classname"] for case in suite.iter("testcase")} == {"dyno.gate.resnet"}
