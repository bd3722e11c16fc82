"""Metrics and differences in words."""

from __future__ import annotations

from typing import Any

import pytest

from modeldyno.gate.show import words
from modeldyno.reports.text.digits import MISSING
from tests.gate.show.samples import REGRESSION, SIZE, THROUGHPUT, URLS, VOID, metric, record, side


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((0.061, 0.053, 0.070), "6.1 % worse (5.3 to 7.0)"),
        ((-0.082, -0.09, -0.075), "8.2 % better (7.5 to 9.0)"),
        ((-0.001, -0.006, 0.004), "0.10 % better (-0.40 to 0.60)"),
        ((0.061, 0.053, None), "6.1 % worse (5.3 or more)"),
        ((-0.061, None, -0.053), "6.1 % better (5.3 or more)"),
        ((0.0, 0.0, 0.0), "none"),
        ((0.02, None, None), "2.00 % worse"),
        ((None, None, None), MISSING),
    ],
)
def test_a_change_says_which_way_it_went(change: tuple[float | None, ...], said: str) -> None:
    middle, low, high = change
    assert words.change(metric(change=middle, change_low=low, change_high=high)) == said


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("p50_ms", "p50 latency"),
        ("p99.9_ms", "p99.9 latency"),
        ("throughput_rps", "throughput"),
        ("cpu_ms_per_request", "CPU time per request"),
        ("artifact_bytes", "artifact size"),
        ("fallback_operators", "operators not compiled"),
        ("queue_depth", "queue depth"),
    ],
)
def test_metrics_have_names_that_anyone_reads(name: str, title: str) -> None:
    assert words.title(metric(name)) == title


@pytest.mark.parametrize(
    ("number", "given", "said"),
    [
        (0.98, {"unit": "share", "exact": True}, "98 %"),
        (0.98, {"unit": "ms"}, "0.980 ms"),
        (3.0, {"unit": "operators", "exact": True}, "3 operators"),
        (4_321.0, {"unit": "bytes", "exact": True}, "4,321 bytes"),
        (102_760_448.0, {"unit": "bytes", "exact": True}, "102.76 MB"),
        (None, {}, MISSING),
    ],
)
def test_values_have_their_unit(number: float | None, given: dict[str, Any], said: str) -> None:
    assert words.value(metric(**given), number) == said


def test_a_verdict_does_not_say_more_than_the_whole_answer() -> None:
    # A URL's regression is not held against it; a void measurement decides nothing; exact rules stand.
    assert [words.verdict(URLS, each) for each in URLS.metrics] == ["inconclusive", "pass", "pass"]
    spoiled = VOID.model_copy(
        update={"metrics": (metric(verdict="pass"), metric(verdict="regression"), SIZE)}
    )
    assert [words.verdict(spoiled, each) for each in spoiled.metrics] == [
        *("inconclusive", "inconclusive", "pass")
    ]
    assert [words.verdict(REGRESSION, each) for each in REGRESSION.metrics] == ["regression", "pass", "pass"]


def test_fewer_requests_are_the_worse_ones() -> None:
    # 3.1 % fewer (2.2 to 4.0): the interval of 93.0 ends at 93 x 0.96 / 0.969 and 93 x 0.978 / 0.969.
    assert words.around(THROUGHPUT, 93.0) == pytest.approx((92.136, 93.864), abs=1e-3)
    assert words.around(metric(), 10.822) == pytest.approx((10.740, 10.914), abs=1e-3)
    assert words.around(metric(change_high=None), 10.822) is None


@pytest.mark.parametrize(
    ("reference", "kind", "name"),
    [
        ("build/resnet50/", "artifact", "resnet50"),
        ("models/resnet50.v2.onnx", "model", "resnet50.v2"),
        ("http://b:8080/invocations", "url", "b:8080"),
        ("main", "baseline", "main"),
    ],
)
def test_what_is_gated_has_one_name_in_all_commits(reference: str, kind: str, name: str) -> None:
    assert words.subject(record(candidate=side(reference, kind=kind))) == name


def test_what_has_no_limit_does_not_pass_it() -> None:
    shown = metric("cpu_ms_per_request", verdict="pass", max_regression=None)
    assert words.said(record(verdict="pass", metrics=(shown,)), shown) == "no limit"
    assert [words.said(REGRESSION, each) for each in REGRESSION.metrics] == ["regression", "pass", "pass"]


def test_both_sides_are_named_shortly_where_that_tells_them_apart() -> None:
    assert words.pair(REGRESSION) == "resnet50 against main"
    alike = record(baseline=side("old/m.onnx"), candidate=side("new/m.onnx"))
    assert words.pair(alike) == "new/m.onnx against old/m.onnx"


def test_what_it_rests_on_is_said() -> None:
    assert words.load(REGRESSION) == "1 user, each waiting for its answer; random, 602 KB; servers on CPU 0"
    rate = {"users": None, "rate_rps": 50.0, "cpus": (0, 1)}
    open_loop = URLS.model_copy(update={"load": URLS.load.model_copy(update=rate)})
    assert words.load(open_loop) == "50 requests a second by schedule; random, 602 KB; servers on CPUs 0, 1"
