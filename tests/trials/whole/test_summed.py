"""A trial from its starts: rounds of levels, and a search with its confirmations."""

from __future__ import annotations

import numpy as np
import pytest

from modeldyno.base.records.load import LoadResult, RateSearch, RateStep
from modeldyno.base.records.run import Limits, Trial
from modeldyno.recommender.rank.rank import rank
from modeldyno.trials.whole.confirmed import with_confirmations
from modeldyno.trials.whole.summed import summed
from tests.recommender.measured import trial
from tests.trials.whole.made import RATE, at_rate

LIMITS = Limits(p99_ms=50)


def step(rate: float, *, met: bool, confirms: bool = False, void: bool = False, rps: float = 0.0) -> RateStep:
    reasons = () if met else ("void" if void else "p99_ms is 60, limit 50",)
    return RateStep(
        rate_rps=rate,
        met=met,
        certain=met,
        reasons=reasons,
        void=void,
        confirms=confirms,
        figures={},
        throughput_rps=rps or rate,
        samples=400,
    )


def search(*steps: RateStep, met: float | None, failed: float | None = None) -> RateSearch:
    return RateSearch(url="u", limits={"p99_ms": 50}, met_rps=met, failed_rps=failed, steps=steps)


FOUND = search(step(50, met=True), step(100, met=True), step(200, met=False), met=100, failed=200)
MET = search(step(100, met=True, confirms=True), met=100)
MISSED = search(step(100, met=False, confirms=True, rps=93), met=None, failed=100)
VOID = search(step(100, met=False, void=True, confirms=True), met=None)


def load_at(rate: float, ms: float = 20.0, **other: object) -> LoadResult:
    spec = RATE.model_copy(update={"rate_rps": rate})
    return at_rate(np.full(400, 1000 * ms), rate, spec=spec, **other)


def searched(found: RateSearch, *points: LoadResult) -> Trial:
    return trial(*points).model_copy(update={"search": found})


SEARCHED = searched(FOUND, load_at(50), load_at(100), load_at(200, 60))


def test_a_rate_that_every_confirmation_meets_stands_with_the_figures_of_the_confirmations() -> None:
    found = summed({"a": [SEARCHED, searched(MET, load_at(100, 30)), searched(MET, load_at(100, 30))]})["a"]
    assert found.search is not None
    assert (found.search.confirmed, found.search.met_rps, found.weak, found.starts) == (True, 100, (), 2)
    assert [each.spec.rate_rps for each in found.points] == [50, 100, 200, 100]
    assert found.points[-1].samples == 800
    (row,), _ = rank([found], LIMITS)
    assert (row.rate_rps, row.throughput_low_rps) == (100, 100)
    assert row.p50_ms == pytest.approx(30, rel=1e-3)


def test_a_rate_that_some_miss_is_marked_and_its_interval_goes_below_it() -> None:
    starts = [SEARCHED, searched(MET, load_at(100)), searched(MISSED, load_at(100, 60))]
    found = summed({"a": starts})["a"]
    (row,), _ = rank([found], LIMITS)
    assert row.weak == ("the rate that was found (100 req/s) missed in 1 of 2 confirmations",)
    assert (row.throughput_rps, row.throughput_low_rps) == (100, 50)
    assert not row.undecided


def test_a_rate_that_all_miss_leaves_the_next_lower_one_undecided() -> None:
    starts = [SEARCHED, searched(MISSED, load_at(100, 60)), searched(MISSED, load_at(100, 60))]
    (row,), _ = rank([summed({"a": starts})["a"]], LIMITS)
    assert (row.rate_rps, row.throughput_rps, row.throughput_high_rps) == (50, 50, 100)
    assert "missed in 2 of 2 confirmations; 50 req/s were met, and not confirmed" in row.undecided
    assert row.weak


def test_without_a_lower_rate_nothing_is_decided() -> None:
    first = searched(search(step(100, met=True), met=100), load_at(100))
    _, (row,) = rank([summed({"a": [first, searched(MISSED, load_at(100, 60))]})["a"]], LIMITS)
    assert "missed in 1 of 1 confirmations; nothing below it met the limits" in row.undecided


def test_void_confirmations_are_no_misses() -> None:
    found, weak = with_confirmations(FOUND, [MET, VOID])
    assert (found.met_rps, found.confirmed) == (100, True)
    assert weak == ("1 of 2 confirmations of its rate say nothing: void",)
    found, weak = with_confirmations(FOUND, [VOID, VOID])
    assert (found.met_rps, found.confirmed) == (100, False)
    assert weak == ("2 of 2 confirmations of its rate say nothing: void",)


def test_confirmations_settle_what_the_search_could_not_confirm_and_no_more() -> None:
    unsure = FOUND.model_copy(update={"undecided": "the load tests were used up", "only_unconfirmed": True})
    assert with_confirmations(unsure, [MET])[0].undecided == ""
    assert with_confirmations(unsure, [VOID])[0].undecided == "the load tests were used up"
    above = FOUND.model_copy(update={"undecided": "unknown above 100 req/s"})
    assert with_confirmations(above, [MET])[0].undecided == "unknown above 100 req/s"


def test_what_rounds_differ_by_is_pooled_over_candidates() -> None:
    alike = [trial(load_at(100, 20.0)), trial(load_at(100, 20.0))]
    apart = [trial(load_at(100, 20.0)), trial(load_at(100, 30.0))]
    alone, beside = summed({"a": alike})["a"], summed({"a": alike, "b": apart})["a"]
    assert alone.starts == beside.starts == 2
    narrow, wide = (next(e for e in t.points[0].percentiles if e.percentile == 50) for t in (alone, beside))
    assert (narrow.high_ms or 0) < 21
    assert (wide.high_ms or 0) > 30


def test_a_start_that_failed_or_was_void_marks_the_trial() -> None:
    died = trial(failure="the server was killed")
    found = summed({"a": [trial(load_at(100)), died]})["a"]
    assert found.failure is None
    assert found.weak == ("it failed in 1 of 2 starts",)
    assert found.warnings == ("start 2 of 2 failed: the server was killed",)
    void = trial(load_at(100, invalid_reasons=("late",)))
    found = summed({"a": [trial(load_at(100)), void]})["a"]
    assert found.weak == ("1 of 2 rounds were void: their load tests do not count",)
    assert found.points[0].valid
    assert summed({"a": [died]})["a"] == died
