"""A search for a candidate's highest rate: its start, its end with the interval, and its row."""

from __future__ import annotations

from typing import Any

import pytest

from modeldyno.base.errors import LoadTestError, UnansweredError
from modeldyno.base.records.load import LoadResult, RateSearch, RateStep
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Limits, ServerSettings, Trial
from modeldyno.loadgen.spec.limit_names import named_limits
from modeldyno.loadgen.verdict.rate_step import judge
from modeldyno.recommender.job.job import FindRate
from modeldyno.recommender.job.trial_orders import search_order
from modeldyno.recommender.rank.rank import rank
from modeldyno.trials.measure.rate_search import (
    CandidateSearch,
    candidate_search,
    certainly_missed,
    confirm,
    found_rate,
    search,
)
from tests.recommender.measured import instance, point, trial

LIMITS = Limits(p99_ms=50)
INFINITE = float("inf")


def at(rate: float, p99_ms: float, low_ms: float, high_ms: float | None, **other: Any) -> LoadResult:
    """A load test at a rate, all of which is answered."""
    spec = LoadSpec(url="http://127.0.0.1:1/invocations", rate_rps=rate)
    answered = {"samples": round(10 * rate), "p99_interval": (low_ms, high_ms), "spec": spec}
    return point(rate, p99_ms, **{**answered, **other})


def searched(*points: LoadResult) -> RateSearch:
    """What a search that measured these points found."""
    limits = named_limits(LIMITS)
    steps: list[RateStep] = []
    met, failed = None, None
    for one in points:
        assert one.spec.rate_rps is not None
        steps.append(judge(one.spec.rate_rps, one, limits))
    met = max((step.rate_rps for step in steps if step.met), default=None)
    failed = min((step.rate_rps for step in steps if not step.met), default=None)
    return RateSearch(url="u", limits=limits, met_rps=met, failed_rps=failed, steps=tuple(steps))


def made(*points: LoadResult, price: float = 0.36, **other: Any) -> Trial:
    measured = trial(*points, on=instance(usd_per_hour=price), **other)
    return measured.model_copy(update={"search": searched(*points)})


SURE, UNSURE = at(100, 20, 18, 25), at(200, 45, 40, 60)
UNSURE_MISS, SURE_MISS = at(250, 55, 45, 70), at(400, 90, 80, None)


def test_the_interval_goes_from_a_rate_that_certainly_meets_to_one_that_certainly_does_not() -> None:
    points = (SURE, UNSURE, UNSURE_MISS, SURE_MISS)
    found = found_rate(searched(*points), points)
    assert found is not None
    assert (found.value, found.low, found.high) == (200, 100, 400)


def test_an_end_that_nothing_bounds_stays_open() -> None:
    found = found_rate(searched(UNSURE, UNSURE_MISS), (UNSURE, UNSURE_MISS))
    assert found is not None
    assert (found.value, found.low, found.high) == (200, 0.0, INFINITE)


def test_a_server_that_falls_behind_for_certain_missed_and_a_late_generator_says_nothing() -> None:
    limits = named_limits(LIMITS)
    behind = at(400, 40, 30, 45, samples=4000, rps_interval=(290.0, 310.0))
    behind = behind.model_copy(
        update={"throughput_rps": behind.throughput_rps.model_copy(update={"value": 300.0})}
    )
    assert certainly_missed(400, [behind], limits)
    assert not certainly_missed(400, [SURE_MISS.model_copy(update={"invalid_reasons": ("late",)})], limits)
    assert certainly_missed(800, [behind], limits)  # nothing was answered, so there is no test


def test_the_row_stands_at_the_rate_that_was_found_with_the_interval_of_the_search() -> None:
    (row,), _ = rank([made(SURE, UNSURE, UNSURE_MISS, SURE_MISS)], LIMITS)
    assert (row.found_rate, row.rate_rps, row.throughput_rps) == (True, 200, 200)
    assert (row.throughput_low_rps, row.throughput_high_rps) == (100, 400)
    # 0.36 USD an hour at 100 requests/s is 1 USD a million.
    assert (row.usd_per_million, row.usd_per_million_low, row.usd_per_million_high) == (0.5, 0.25, 1.0)
    assert any("whether it meets 50 ms is not certain" in text for text in row.warnings)


def test_open_ends_are_told_and_tie_with_whatever_they_reach() -> None:
    (first, second), _ = rank(
        [made(UNSURE, UNSURE_MISS), made(SURE, SURE_MISS, backend="onnxruntime")], LIMITS
    )
    assert (first.usd_per_million_low, first.usd_per_million_high) == (None, None)
    assert first.tied_with_best
    assert second.tied_with_best
    assert any("no rate met the limits with certainty" in text for text in first.warnings)
    assert any("more may be met" in text for text in first.warnings)


def test_the_cheapest_at_its_highest_rate_wins_whatever_the_other_rates_cost() -> None:
    dear = made(SURE, at(300, 20, 18, 25), SURE_MISS, price=2.0)
    cheap = made(SURE, at(150, 90, 80, None), price=0.36, threads=2)
    ranking, _ = rank([dear, cheap], LIMITS)
    assert [row.settings.threads for row in ranking] == [2, 1]


def test_requests_that_fail_are_not_paid_for() -> None:
    one = at(100, 20, 18, 25, errors=10, error_rate=0.01)
    (row,), _ = rank([made(one, SURE_MISS)], LIMITS)
    assert row.throughput_rps == pytest.approx(99)


def test_a_candidate_at_which_no_rate_meets_the_limits_is_rejected_with_the_lowest() -> None:
    _, (row,) = rank([made(SURE_MISS, UNSURE_MISS)], LIMITS)
    assert row.reasons == (
        "no rate met the limits; at 250 requests/s, the lowest that was tried: p99_ms is 55, limit 50",
    )


def test_other_limits_still_hold_at_the_rate_that_was_found() -> None:
    _, (row,) = rank([made(SURE, SURE_MISS)], Limits(p99_ms=50, throughput_rps=150))
    assert row.reasons == ("throughput 100.0 rps < 150 rps at 100 requests/s",)


def plan(**how: Any) -> CandidateSearch:
    spec = LoadSpec(url="u", rate_rps=1.0, arrival="gamma", burstiness=4, stop_when=("errors>5%",))
    return candidate_search(spec, LIMITS, search_order(FindRate(**how), longest_s=60))


class Server:
    """Answers up to `capacity` requests a second; remembers what it was asked."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.asked: list[LoadSpec] = []

    def measure(self, spec: LoadSpec) -> LoadResult:
        self.asked.append(spec)
        if spec.rate_rps is None:
            return point(self.capacity, 20)
        p99_ms = 20 if spec.rate_rps <= self.capacity else 90
        return at(spec.rate_rps, p99_ms, p99_ms - 1, p99_ms + 1)


def test_a_search_begins_at_half_of_what_a_short_closed_loop_gets() -> None:
    server = Server(130.0)
    found = search(plan(), ServerSettings(threads=1, workers=2, processes=2), server.measure, str)
    probe = server.asked[0]
    assert (probe.users, probe.rate_rps, probe.stop_when) == (8, None, ())
    assert [spec.rate_rps for spec in server.asked[1:4]] == [65, 130, 260]
    assert found.met_rps == 130
    assert found.failed_rps == pytest.approx(134.0625)
    assert found.began == "half of what 8 users of a closed loop got 130 answers a second"
    # 368 requests, and 3 sigma so that chance alone does not leave too few.
    assert server.asked[1].min_samples == 426


def test_a_search_ends_when_its_load_tests_are_used_up() -> None:
    server = Server(130.0)
    found = search(plan(max_tests=3), ServerSettings(threads=1), server.measure, str)
    # The confirmation of the rate that was found comes on top.
    assert [step.rate_rps for step in found.steps] == [65, 130, 260, 130]
    assert [step.confirms for step in found.steps] == [False, False, False, True]
    assert found.confirmed
    assert not found.undecided


def test_a_server_too_slow_for_one_test_is_told_with_the_field_that_helps() -> None:
    with pytest.raises(
        LoadTestError, match=r"2 users got 5 answers a second: .*load.max_duration_s \(60 s\)"
    ):
        search(plan(), ServerSettings(threads=1), Server(5.0).measure, str)
    with pytest.raises(LoadTestError, match=r"at 3 requests/s the limits need 426 requests"):
        search(plan(start_rps=3.0), ServerSettings(threads=1), Server(500.0).measure, str)


def test_a_rate_at_which_nothing_is_answered_is_a_miss_not_the_end() -> None:
    server = Server(130.0)

    def measure(spec: LoadSpec) -> LoadResult:
        if spec.rate_rps is not None and spec.rate_rps > 200:
            raise UnansweredError("no request succeeded")
        return server.measure(spec)

    found = search(plan(), ServerSettings(threads=1), measure, str)
    assert found.met_rps == 130
    assert found.steps[2].reasons == ("no request succeeded",)


@pytest.mark.parametrize(("longest_s", "window_s"), [(60, 10), (5, 5)])
def test_a_confirmation_lasts_ten_seconds_or_as_long_as_a_test_may(longest_s: float, window_s: float) -> None:
    server = Server(130.0)
    spec = LoadSpec(url="u", rate_rps=1.0, duration_s=2)
    what = candidate_search(spec, LIMITS, search_order(FindRate(), longest_s=longest_s))
    found = confirm(what, 100.0, server.measure, str)
    assert (server.asked[0].duration_s, server.asked[0].min_samples, found.met_rps) == (window_s, 426, 100)
