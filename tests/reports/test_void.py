"""Configurations whose load test is void: on the page, never as the answer."""

from __future__ import annotations

from modeldyno.reports.answer import answer
from modeldyno.reports.page.page import render
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text.digits import MISSING
from modeldyno.reports.view import bars, view
from tests.reports.sample import instance, point, recommendation, row, trial

LATE = ("requests were sent late: 99th percentile 9 ms, bound 5 ms",)
ONE = trial(instance("c7a.large", 2, 0.1), "compiled", [point(1, 50.0, 20.0)])
OTHER = trial(instance("c6i.large", 2, 0.1), "compiled", [point(1, 90.0, 20.0)])


def _run(*, all_void: bool) -> Run:
    first = row(ONE, 0, 1)
    second = row(OTHER, 0, 2).model_copy(update={"invalid_reasons": LATE})
    if all_void:
        first = first.model_copy(update={"invalid_reasons": LATE})
    return Run(recommendation([first, second]), {one.candidate.key: one for one in (ONE, OTHER)})


def test_a_void_configuration_is_listed_apart_with_its_reason() -> None:
    run = _run(all_void=False)
    assert answer(run).kind == "winner"
    assert "1 configuration left out, since the load test is void" in answer(run).change
    page = render(run)
    assert "Not ranked: their load tests are void" in page
    assert "requests were sent late" in page
    assert [line.tag for line in view(run).ranking] == ["1"]
    assert [(line.tag, line.cost.text) for line in view(run).void] == [("V1", MISSING)]
    assert [bar.label.split()[0] for bar in bars(run)] == ["1"]


def test_where_all_are_void_nothing_wins() -> None:
    found = answer(_run(all_void=True))
    assert found.kind == "none"
    assert found.headline.startswith("No configuration was measured validly: 2 configurations")
    assert found.details == LATE


def test_without_void_ones_nothing_is_said_of_them() -> None:
    page = render(Run(recommendation([row(ONE, 0, 1)]), {ONE.candidate.key: ONE}))
    assert "Not ranked" not in page
