"""Each limit that a load test misses is said with its number, and each doubt too."""

from __future__ import annotations

import pytest

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import Limits
from modeldyno.recommender.rank.misses import Miss, doubts, misses
from tests.recommender.measured import instance, point, trial


def missed(measured: LoadResult, limits: Limits, usd_per_hour: float = 0.36) -> list[Miss]:
    return list(misses(measured, trial(measured, on=instance(usd_per_hour=usd_per_hour)), limits))


def test_a_point_that_meets_every_limit_exactly_misses_none() -> None:
    limits = Limits(p50_ms=10, p95_ms=10, p99_ms=50, error_rate=0.01, throughput_rps=100, usd_per_hour=0.36)
    assert missed(point(100, 50, p50_ms=10, error_rate=0.01), limits) == []


@pytest.mark.parametrize(
    ("measured", "limits", "reason", "factor"),
    [
        (point(p99_ms=312.44, users=4), Limits(p99_ms=200), "p99 312.4 ms > 200 ms at 4 users", 1.5622),
        (point(p50_ms=15, users=1), Limits(p50_ms=10), "p50 15.0 ms > 10 ms at 1 user", 1.5),
        (point(p50_ms=15, users=2), Limits(p95_ms=7.5), "p95 15.0 ms > 7.5 ms at 2 users", 2.0),
        (point(p50_ms=15, users=2), Limits(p90_ms=7.5), "p90 15.0 ms > 7.5 ms at 2 users", 2.0),
        (point(error_rate=0.055), Limits(), "error rate 5.50% > 1.00% at 4 users", 5.5),
        (point(80), Limits(throughput_rps=100), "throughput 80.0 rps < 100 rps at 4 users", 1.25),
        (point(), Limits(usd_per_hour=0.3), "price 0.36 USD/h > 0.3 USD/h", 1.2),
        (
            point(p99_ms=None, samples=80),
            Limits(p99_ms=200),
            "p99 not stated: 80 samples are too few at 4 users",
            float("inf"),
        ),
        (point(error_rate=0.1), Limits(error_rate=0), "error rate 10.00% > 0.00% at 4 users", float("inf")),
    ],
)
def test_a_missed_limit_is_said_with_both_numbers_and_the_load(
    measured: LoadResult, limits: Limits, reason: str, factor: float
) -> None:
    (found,) = missed(measured, limits)
    assert found.reason == reason
    assert found.factor == pytest.approx(factor)


def test_the_load_of_an_open_loop_is_its_rate() -> None:
    spec = LoadSpec(url="http://127.0.0.1:1/invocations", rate_rps=12.5)
    (found,) = missed(point(p99_ms=60, spec=spec), Limits(p99_ms=50))
    assert found.reason == "p99 60.0 ms > 50 ms at 12.5 requests/s"


def test_a_phase_is_named_where_its_users_do_not_tell_it() -> None:
    spec = LoadSpec(url="http://127.0.0.1:1/invocations", users=4, stage="phase 2 (1 to 4 users)")
    (found,) = missed(point(p99_ms=60, spec=spec), Limits(p99_ms=50))
    assert found.reason == "p99 60.0 ms > 50 ms in phase 2 (1 to 4 users)"


def test_every_missed_limit_is_said() -> None:
    limits = Limits(p50_ms=5, p99_ms=20, throughput_rps=500, usd_per_hour=0.1)
    reasons = [miss.reason for miss in missed(point(), limits)]
    assert [reason.split()[0] for reason in reasons] == ["p50", "p99", "throughput", "price"]


def test_no_success_is_a_miss_even_without_limits() -> None:
    dead = point(0.0, None, p50_ms=None, samples=0, error_rate=1.0)
    assert [miss.reason for miss in missed(dead, Limits(error_rate=None))] == [
        "no request succeeded at 4 users"
    ]


@pytest.mark.parametrize(
    ("interval", "doubtful"),
    [
        ((40, 60), True),
        ((50, 60), True),
        ((30, 50), False),
        ((51, 60), False),
        ((None, None), True),
        ((30, None), True),
    ],
)
def test_a_percentile_whose_interval_straddles_the_limit_is_in_doubt(
    interval: tuple[float | None, float | None], doubtful: bool
) -> None:
    found = list(doubts(point(p99_ms=45, p99_interval=interval), Limits(p99_ms=50)))
    assert bool(found) == doubtful


def test_a_limit_far_beyond_the_slowest_request_is_in_no_doubt_without_an_upper_bound() -> None:
    unbounded = point(p99_ms=45, p99_interval=(40, None)).model_copy(update={"max_ms": 60.0})
    assert list(doubts(unbounded, Limits(p99_ms=119)))
    assert not list(doubts(unbounded, Limits(p99_ms=120)))


def test_a_doubt_is_said_with_its_numbers() -> None:
    found = list(doubts(point(p99_ms=45, p99_interval=(40.04, None)), Limits(p99_ms=50)))
    assert found == [
        "p99 is 45.0 ms, 95 % interval 40.0 to unknown ms: whether it meets 50 ms is not certain"
    ]
    slow = point(95, rps_interval=(90, 101))
    assert list(doubts(slow, Limits(throughput_rps=100))) == [
        "throughput is 95.0 rps, 95 % interval 90.0 to 101.0 rps: whether it reaches 100 rps is not certain"
    ]
    assert list(doubts(slow, Limits(throughput_rps=90))) == []


def test_without_a_limit_there_is_no_doubt() -> None:
    assert list(doubts(point(p99_interval=(0, None)), Limits())) == []
    assert list(doubts(point(p99_ms=None, p99_interval=(0, None)), Limits(p99_ms=50))) == []
