"""Files for trackers and scanners: SARIF, OpenMetrics, github-action-benchmark, Bencher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateRecord
from modeldyno.gate.show.bench_json import bencher, bigger_is_better, smaller_is_better
from modeldyno.gate.show.openmetrics import certain, openmetrics
from modeldyno.gate.show.sarif import Anchor, parse_anchor, sarif
from tests.gate.show.samples import ALL, EQUAL, PASS, REGRESSION, VOID, metric, poisoned, record

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SCHEMA = json.loads((Path(__file__).parent / "sarif-schema-2.1.0.json").read_text())
EVERY = pytest.mark.parametrize("made", [*ALL.values(), poisoned()], ids=[*ALL, "markup"])


@EVERY
def test_sarif_follows_its_schema(made: GateRecord) -> None:
    found = json.loads(sarif(made))
    jsonschema.Draft4Validator(SCHEMA).validate(found)
    wrong = [each for each in made.metrics if each.verdict in ("regression", "inconclusive")]
    assert len(found["runs"][0]["results"]) == len(wrong)


def test_the_schema_would_refuse_a_mistake() -> None:
    found = json.loads(sarif(REGRESSION))
    found["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(SCHEMA).validate(found)


def test_an_alert_stands_where_the_user_says_and_closes_when_its_metric_passes() -> None:
    one = _result(REGRESSION, Anchor("ci/gate.yml", 7))
    place = one["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "ci/gate.yml"}, "region": {"startLine": 7}}
    assert one["level"] == "error"
    again = _result(REGRESSION.model_copy(update={"created_at": "later", "headline": "another"}))
    assert again["partialFingerprints"] == one["partialFingerprints"]
    assert _result(VOID)["level"] == "warning"
    assert json.loads(sarif(PASS))["runs"][0]["results"] == []


def _result(made: GateRecord, anchor: Anchor | None = None) -> dict[str, Any]:
    text = sarif(made, anchor) if anchor else sarif(made)
    found: dict[str, Any] = json.loads(text)["runs"][0]["results"][0]
    return found


@pytest.mark.parametrize(
    ("text", "anchor"),
    [("ci.yml:12", Anchor("ci.yml", 12)), ("./a/b.py", Anchor("a/b.py", 1)), ("a:b:3", Anchor("a:b", 3))],
)
def test_an_anchor_is_a_file_and_a_line(text: str, anchor: Anchor) -> None:
    assert parse_anchor(text) == anchor


@pytest.mark.parametrize("text", ["", ":3", "/etc/x:3", "../x:3", "x:0", "x:y", "x:"])
def test_what_is_no_line_of_the_repository_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"names no file|no line number"):
        parse_anchor(text)


def read(text: str) -> dict[str, Metric]:
    """Read OpenMetrics as Prometheus' own client does."""
    return {each.name: each for each in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


@EVERY
def test_openmetrics_can_be_read(made: GateRecord) -> None:
    families = read(openmetrics(made))
    verdicts = {one.labels["dyno_gate"]: one.value for one in families["dyno_gate"].samples}
    assert [verdict for verdict, is_it in verdicts.items() if is_it] == [made.verdict]


def test_values_are_in_base_units() -> None:
    families = read(openmetrics(REGRESSION))
    assert {one.labels["side"]: one.value for one in families["dyno_p50_seconds"].samples} == {
        "baseline": 0.0102,
        "candidate": 0.0108,
    }
    assert families["dyno_p50_seconds"].unit == "seconds"
    assert families["dyno_artifact_bytes"].samples[0].value == 102_760_448
    assert families["dyno_p50_change_ratio"].samples[0].value == 0.06


@pytest.mark.parametrize(
    ("name", "unit", "family"),
    [
        ("p99.9_ms", "ms", "dyno_p99_9_seconds"),
        ("cpu_ms_per_request", "ms", "dyno_cpu_per_request_seconds"),
        ("throughput_rps", "requests/s", "dyno_throughput_requests_per_second"),
        ("compiled_share", "share", "dyno_compiled_ratio"),
        ("odd name", "parsecs", "dyno_odd_name"),
    ],
)
def test_names_end_with_their_unit(name: str, unit: str, family: str) -> None:
    text = openmetrics(record(metrics=(metric(name, unit=unit),)))
    assert family in read(text)


@pytest.mark.parametrize(
    ("value", "error", "rounded"),
    [
        (10.4321, 0.05, 10.4),
        (10.4321, 0.3, 10.0),
        (96.2, 5.0, 100.0),
        (0.010822, 0.0, 0.011),
        (0.0, 1.0, 0.0),
    ],
)
def test_only_the_digits_that_are_certain_stay(value: float, error: float, rounded: float) -> None:
    assert certain(value, error) == rounded


def test_two_pipelines_that_measured_the_same_write_the_same_text() -> None:
    moved = metric(candidate=10.84, baseline=10.23)
    assert openmetrics(record(metrics=(moved,))) == openmetrics(record(metrics=(metric(),)))


def test_github_action_benchmark_gets_one_direction_a_file() -> None:
    small, large = json.loads(smaller_is_better(REGRESSION)), json.loads(bigger_is_better(REGRESSION, "net"))
    assert [each["name"] for each in small] == ["resnet50: p50 latency", "resnet50: artifact size"]
    assert small[0] == {
        "name": "resnet50: p50 latency",
        "unit": "ms",
        "value": 10.822,
        "range": "± 0.8 %",
        "extra": "regression: slower by 6.1 % (5.3 to 7.0), over the limit of 5 %",
    }
    assert [(each["name"], each["value"]) for each in large] == [("net: throughput", 93.0)]


def test_bencher_gets_the_interval() -> None:
    found = json.loads(bencher(REGRESSION))["resnet50"]
    assert found["p50_ms"] == {"value": 10.822, "lower_value": 10.7404, "upper_value": 10.9138}
    open_end = record(metrics=(metric(change_high=None),))
    assert json.loads(bencher(open_end))["resnet50"]["p50_ms"] == {"value": 10.822}


@pytest.mark.parametrize("made", [EQUAL, VOID], ids=["equal", "void"])
def test_without_a_value_there_is_nothing_to_track(made: GateRecord) -> None:
    assert json.loads(bencher(made)) == {}
    assert json.loads(smaller_is_better(made)) == []
