from __future__ import annotations

from modeldyno.base.records.load import ErrorGroup, Outcome
from modeldyno.base.records.usage import Spread
from modeldyno.reports.page.page import render
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.tables.endings import endings
from tests.reports.sample import instance, point, recommendation, row, trial

LARGE = instance("c7a.large", 2, 0.1)


def _outcome(name: str, status: int | None, count: int, ms: float) -> Outcome:
    times = Spread(samples=count, p50_ms=ms, p99_ms=2 * ms, max_ms=3 * ms, histogram="")
    return Outcome(endpoint="/invocations", outcome=name, status=status, count=count, latency=times)


def test_ways_to_fail_are_told_with_their_share_and_times() -> None:
    full = ErrorGroup(status=503, message="full", count=25)
    ways = (_outcome("200", 200, 75, 20.0), _outcome("503", 503, 25, 1.5))
    failing = point(1, 50.0, 20.0, errors=(full,)).model_copy(update={"outcomes": ways})
    fine = point(2, 50.0, 20.0).model_copy(update={"outcomes": ways[:1]})
    only = trial(LARGE, "compiled", [failing, fine])
    run = Run(recommendation([row(only, 0, 1)]), {only.candidate.key: only})
    found = endings(run)
    assert [(one.load, one.outcome, one.count, one.p50, one.longest) for one in found] == [
        ("1 user", "200", "75", "20.0", "60.0"),
        ("1 user", "503", "25", "1.50", "4.50"),
    ]
    assert found[1].share.replace("\u202f", " ").startswith("25")
    page = render(run)
    assert "How requests ended" in page
    assert "/invocations" in page


def test_without_failures_there_is_no_such_table() -> None:
    only = trial(LARGE, "compiled", [point(1, 50.0, 20.0)])
    assert "How requests ended" not in render(Run(recommendation([row(only, 0, 1)]), {}))
