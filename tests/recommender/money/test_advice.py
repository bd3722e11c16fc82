"""Policies replayed over a day of traffic."""

from __future__ import annotations

import pytest

from modeldyno.base.records.run import Limits
from modeldyno.recommender.money.advice import MOST_REQUESTS, not_replayed, replays
from modeldyno.recommender.money.demand import steady_hours
from modeldyno.recommender.money.fleet import Offer
from tests.recommender.measured import instance, point, trial

LARGE = instance("c5.large", 0.10)
TRIAL = trial(point(20, 50, p50_ms=40), on=LARGE)
OFFER = Offer(TRIAL.candidate.key, LARGE, "compiled", 20.0)
LIMITS = Limits(p99_ms=200)
HOURS = steady_hours([5.0, 40.0, 5.0], 0.2, 1)


def test_each_policy_is_replayed_beside_the_perfect_scaler() -> None:
    target_tracking, kubernetes = replays(OFFER, TRIAL, LIMITS, HOURS)
    # Perfect: 1, 2, 1 instances: 4 / 3 * 730 * 0.10 = 97.33 USD.
    for each in (target_tracking, kubernetes):
        assert each.perfect_usd_per_month == pytest.approx(97.33, abs=0.005)
        assert each.perfect_most == 2
        assert each.usd_per_month > each.perfect_usd_per_month
        assert each.actions >= 2
        assert each.assumed
    # A start of seven minutes and two of delay are late for a step; pods that start at once are not as late.
    assert target_tracking.late_share > kubernetes.late_share
    assert "SageMaker target tracking of 1000 invocations" in target_tracking.policy


def test_a_steady_load_is_late_in_no_more_than_was_measured() -> None:
    (found, _) = replays(OFFER, TRIAL, LIMITS, steady_hours([5.0], 0.2, 1))
    assert found.late_share < 0.01
    assert found.actions == 0


def test_without_a_limit_nothing_is_late_so_nothing_is_replayed() -> None:
    assert replays(OFFER, TRIAL, Limits(), HOURS) == ()
    assert not_replayed(Limits(), HOURS) is None


def test_too_much_traffic_is_not_replayed_and_that_is_said() -> None:
    much = steady_hours([MOST_REQUESTS / 3600 + 1], 0.2, 1)
    assert replays(OFFER, TRIAL, LIMITS, much) == ()
    assert "at most 1e+07" in (not_replayed(LIMITS, much) or "")
