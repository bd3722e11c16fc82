"""Cost per million requests, worked by hand."""

from __future__ import annotations

import pytest

from modeldyno.base.records.record import Estimate
from modeldyno.trials.catalog.cost import cost_per_million, price_caveat
from tests.recommender.measured import instance


def rps(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, method="given")


def test_the_interval_of_the_throughput_is_turned_over() -> None:
    # 0.36 USD an hour is 0.0001 USD a second: 1e-4 / 100 * 1e6 = 1 USD; at 80 rps 1.25, at 125 rps 0.80.
    cost = cost_per_million(0.36, rps(100, 80, 125))
    assert cost.usd_per_million == pytest.approx(1.0)
    assert cost.low == pytest.approx(0.8)
    assert cost.high == pytest.approx(1.25)


def test_a_throughput_that_may_be_zero_leaves_the_cost_without_an_upper_bound() -> None:
    assert cost_per_million(0.36, rps(10, 0, 20)).high is None
    assert cost_per_million(0.36, rps(10, -1, 20)).high is None


def test_a_machine_that_costs_nothing_serves_for_nothing() -> None:
    assert cost_per_million(0.0, rps(10, 5, 20)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "caveat"),
    [
        ("t3.micro", "is burstable"),
        ("t3a.large", "is burstable"),
        ("t4g.nano", "is burstable"),
        ("ml.t3.large", "is burstable"),
        ("c7i-flex.large", "not all the time"),
        ("m8i-flex.large", "not all the time"),
        ("c7i.large", None),
        ("trn1.2xlarge", None),
    ],
)
def test_a_price_that_does_not_pay_for_all_of_the_cpu_is_said_to_be_one(
    name: str, caveat: str | None
) -> None:
    family = name.rpartition(".")[0]
    said = price_caveat(instance(name).model_copy(update={"family": family}))
    assert (said is None) == (caveat is None)
    if caveat is not None and said is not None:
        assert said.startswith(name)
        assert caveat in said
