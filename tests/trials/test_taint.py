from __future__ import annotations

import pytest

from modeldyno.trials.compare.blocks import Pair, Readings
from modeldyno.trials.compare.taint import TaintLimits, limits_from, sign_test, sort_pairs
from tests.trials.made import BUSY, QUIET, pair


def pairs(count: int, first: int = 0, **sides: Readings) -> list[Pair]:
    return [pair(first + number, (1000,), (1000,), **sides) for number in range(count)]


def test_one_disturbed_block_takes_its_pair_with_it() -> None:
    found = sort_pairs([*pairs(30), *pairs(3, 30, b=BUSY), *pairs(2, 33, a=BUSY, b=BUSY)], TaintLimits())
    assert [each.number for each in found.tainted] == [30, 31, 32, 33, 34]
    assert (found.by_baseline, found.by_candidate) == (0, 3)
    assert found.reasons == {"foreign_cpu": 7}
    assert found.judged == found.clean
    assert found.weak == ()


def test_latency_is_no_reason() -> None:
    slow = pair(0, (1000,), (90_000,))
    assert sort_pairs([slow], TaintLimits()).clean == (slow,)


def test_what_can_not_be_read_is_no_reason() -> None:
    assert TaintLimits().exceeded(Readings()) == ()


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        (Readings(steal=0.03), "steal"),
        (Readings(throttled=0.001), "throttled"),
        (Readings(frequency=0.9), "frequency"),
        (Readings(generator_lag_ms=6.0), "generator_lag_ms"),
        (Readings(yardstick=1.2), "yardstick"),
    ],
)
def test_each_reading_has_its_limit(readings: Readings, reason: str) -> None:
    assert TaintLimits().exceeded(readings) == (reason,)


def test_dropping_one_side_alone_is_unfair_from_eight_to_none() -> None:
    # Two-sided, a fair coin falls 7 to 0 in 1.6 %, 8 to 0 in 0.8 % of cases.
    assert (sign_test(0, 7), sign_test(8, 0), sign_test(5, 5)) == (2 / 128, 2 / 256, 1.0)
    assert not sort_pairs([*pairs(30), *pairs(7, 30, b=BUSY)], TaintLimits()).unfair
    found = sort_pairs([*pairs(30), *pairs(8, 30, b=BUSY)], TaintLimits())
    assert found.unfair
    assert "0 times for the baseline alone and 8 times for the candidate" in found.weak[0]


def test_where_nearly_all_are_disturbed_all_are_judged_and_the_verdict_is_weak() -> None:
    found = sort_pairs([*pairs(10, 20), *pairs(20, a=BUSY, b=BUSY)], TaintLimits())
    assert [each.number for each in found.judged] == list(range(30))
    assert found.weak == ("only 10 of 30 pairs were undisturbed: all of them are judged",)


def test_limits_are_three_times_what_an_idle_machine_shows() -> None:
    assert limits_from([QUIET]) == TaintLimits()
    assert limits_from([Readings(foreign_cpu=share) for share in (0.0, 0.04, 0.9)]).foreign_cpu == 0.12
    assert limits_from([BUSY]).foreign_cpu == 0.25
