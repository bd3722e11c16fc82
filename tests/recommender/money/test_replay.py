"""The replay against queues whose answer is known, and against traces that were worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from modeldyno.base.scaling import service_policy
from modeldyno.recommender.money.replay import (
    Instances,
    constant,
    exponential,
    measured,
    perfect_counts,
    replay,
    waits,
)

REQUESTS = 800_000
"""With so many chance leaves about 1 % of the mean."""
MEAN, P99 = 0.02, 0.05


def erlang_c(lanes: int, load: float) -> float:
    """Probability of waiting in M/M/c."""
    terms = [load**at / math.factorial(at) for at in range(lanes)]
    last = load**lanes / math.factorial(lanes) * lanes / (lanes - load)
    return last / (sum(terms) + last)


def with_memoryless_service(lanes: int, rate: float) -> tuple[float, float]:
    """Mean and p99 of the wait in M/M/c with a service of 1 s."""
    waiting = erlang_c(lanes, rate)
    return waiting / (lanes - rate), math.log(waiting / 0.01) / (lanes - rate)


def with_constant_service(lanes: int, rate: float) -> tuple[float, float]:
    """The same of M/D/c: requests there after a service are what is left and what came (Crommelin).

    P(W <= x) = sum over j < kc of P(N <= kc - 1 - j + c) * Poisson(j; rate * (k - x)), for k - 1 <= x < k.
    """
    size = 400
    arriving = [math.exp(-rate + at * math.log(rate) - math.lgamma(at + 1)) for at in range(size)]
    step = np.zeros((size, size))
    for there in range(size):
        left = max(there - lanes, 0)
        step[there, left:] = arriving[: size - left]
    step[:, -1] += 1 - step.sum(axis=1)
    share = np.full(size, 1 / size)
    for _ in range(3000):
        share = share @ step
    mean = float(share @ np.arange(size)) / rate - 1
    below = np.cumsum(share)
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _waits_at_most(middle, lanes, rate, below) < 0.99 else (low, middle)
    return mean, low


def _waits_at_most(time: float, lanes: int, rate: float, below: np.ndarray) -> float:
    whole = math.floor(time) + 1
    left = rate * (whole - time)
    terms = (
        below[whole * lanes - 1 - at + lanes] * math.exp(-left + at * math.log(left) - math.lgamma(at + 1))
        for at in range(whole * lanes)
    )
    return float(sum(terms))


@pytest.mark.parametrize(("lanes", "rate"), [(1, 0.6), (4, 2.8), (10, 8.0)])
@pytest.mark.parametrize(
    ("service", "known"),
    [(exponential(1.0), with_memoryless_service), (constant(1.0), with_constant_service)],
)
def test_waits_are_those_of_the_queue(
    service: Callable[[np.random.Generator, int], np.ndarray],
    known: Callable[[int, float], tuple[float, float]],
    lanes: int,
    rate: float,
) -> None:
    chance = np.random.default_rng(2)
    gaps, services = chance.exponential(1 / rate, REQUESTS), service(chance, REQUESTS)
    # Of exactly the load that is meant: else its error, not the replay's, is what is seen.
    found = waits(np.cumsum(gaps / gaps.mean() / rate), services / services.mean(), lanes)
    mean, p99 = known(lanes, rate)
    assert found.mean() == pytest.approx(mean, rel=MEAN)
    assert np.quantile(found, 0.99) == pytest.approx(p99, rel=P99)


def test_the_anchors_themselves() -> None:
    # House figures: 51 % of requests wait at 3 of 4 lanes, 41 % at 8 of 10; M/D/1 waits half of M/M/1.
    assert erlang_c(4, 3) == pytest.approx(0.51, abs=0.005)
    assert erlang_c(10, 8) == pytest.approx(0.41, abs=0.005)
    assert with_constant_service(1, 0.6)[0] == pytest.approx(0.6 / (2 * 0.4), rel=1e-6)
    assert with_memoryless_service(1, 0.6)[0] == pytest.approx(0.6 / 0.4, rel=1e-9)


ONE = Instances(lanes=2, service=constant(0.1), start_s=240, limit_s=0.2)
"""20 requests a second each; 12 a second, 720 a minute, is the target."""


def test_a_rise_is_followed_after_alarm_delay_and_start() -> None:
    # 10/s, then 40/s from minute 10. Datapoints above 720 end at minutes 11, 12, 13; they are seen two
    # minutes later, so the decision falls at 15 and what it asks for serves from 19: ceil(40 * 60 / 720) = 4.
    policy = service_policy(720, 1, 10)
    found = replay([10.0] * 10 + [40.0] * 30, ONE, policy, begin=1)
    assert found.counts[:19] == (1,) * 19
    assert found.counts[19] in (3, 4, 5)  # by the arrivals of one minute
    assert found.most >= found.counts[19]
    assert 0.2 < found.late_share < 0.9


def test_a_steady_load_asks_for_nothing() -> None:
    found = replay([10.0] * 30, ONE, service_policy(720, 1, 10), begin=1)
    assert (found.actions, found.most, found.instance_s) == (0, 1, 1800)
    assert found.requests == pytest.approx(18_000, rel=0.05)
    assert found.late_share < 0.2


def test_a_fall_is_followed_after_fifteen_minutes() -> None:
    # 44/s with 4 (660 a minute each, between the alarms), then 5/s from minute 5 on:
    # 15 datapoints below end with minute 20, are seen at 22.
    found = replay([44.0] * 5 + [5.0] * 30, ONE, service_policy(720, 1, 10), begin=4)
    assert found.counts[:22] == (4,) * 22
    assert found.counts[22] == 1


def test_the_same_seed_gives_the_same_replay() -> None:
    policy = service_policy(720, 1, 10)
    assert replay([30.0] * 30, ONE, policy, begin=1, seed=3) == replay(
        [30.0] * 30, ONE, policy, begin=1, seed=3
    )


def test_the_perfect_scaler_needs_what_each_minute_needs() -> None:
    assert perfect_counts([0, 20, 20.1, 79], 20) == (1, 1, 2, 4)


def test_times_are_drawn_as_they_were_measured() -> None:
    drawn = measured([0.1, 0.3], [3, 1])(np.random.default_rng(0), 100_000)
    assert set(np.unique(drawn)) == {0.1, 0.3}
    assert drawn.mean() == pytest.approx(0.15, rel=0.01)
