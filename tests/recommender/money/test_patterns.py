"""Patterns of serving, each worked by hand to the cent. A month has 730 hours, 2,628,000 seconds."""

from __future__ import annotations

import math

import pytest

from modeldyno.recommender.money.demand import steady_hours
from modeldyno.recommender.money.patterns import (
    Served,
    billed_s,
    cold_shares,
    crossover_rps,
    lambda_usd,
    patterns,
    provisioned_usd,
    serverless_usd,
)
from tests.recommender.money.made import offer
from tests.recommender.test_burstable import NANO

CENT = 0.005
DAY = steady_hours([5.0] * 8 + [40.0] * 12 + [5.0] * 4, 0.2, 1)
SERVED = Served(inference_s=0.05, start_s=3.0, memory_mib=300)


def test_serverless_costs_gb_seconds() -> None:
    # 22.5 * 2,628,000 = 59.13 million requests * 2 GB * 0.050 s = 5,913,000 GB-s at 2.0e-5: 118.26 USD.
    assert serverless_usd(59.13e6, 2, 0.05) == pytest.approx(118.26, abs=CENT)


def test_lambda_has_three_tiers() -> None:
    # 2e9 requests * 10 GB * 1 s = 20e9 GB-s: 6e9 at 1.66667e-5 are 100,000.20, the next 9e9 at 1.5e-5 are
    # 135,000.00, 5e9 at 1.33333e-5 are 66,666.50; 2e9 requests at 0.20 a million 400.00: 302,066.70 USD.
    assert lambda_usd("Lambda x86", 2e9, 10, 1.0) == pytest.approx(302_066.70, abs=CENT)


def test_lambda_on_arm_in_its_first_tier() -> None:
    # 59.13e6 * 1 GB * 0.05 s = 2,956,500 GB-s at 1.33334e-5: 39.42 USD; requests: 59.13 * 0.20 = 11.826 USD.
    assert lambda_usd("Lambda arm", 59.13e6, 1, 0.05) == pytest.approx(51.246, abs=CENT)


def test_provisioned_concurrency_costs_what_is_enabled_and_what_runs() -> None:
    # 3 * 1 GB * 2,628,000 s * 3.3334e-6 = 26.2805 USD; 2,956,500 GB-s * 7.7778e-6 = 22.9951 USD: 49.28 USD.
    assert provisioned_usd(59.13e6, 1, 0.05, 3, (3.3334e-6, 7.7778e-6)) == pytest.approx(49.28, abs=CENT)


def test_the_crossover_is_where_an_instance_costs_the_same() -> None:
    # 0.102 USD/h over 3600 * 4 GB * 0.1 s * 2.0e-5: 3.54 requests/s.
    at = crossover_rps(0.102, 4, 0.1, 2.0e-5)
    assert at == pytest.approx(3.54, abs=0.005)
    assert serverless_usd(at * 3600, 4, 0.1) == pytest.approx(0.102)


def test_a_started_millisecond_is_billed() -> None:
    assert [billed_s(each) for each in (0.0501, 0.05, 0.0001)] == [0.051, 0.05, 0.001]


def test_a_rare_request_is_a_cold_one() -> None:
    # One request in 5 minutes: e^-0.2, e^-1, e^-3 for sandboxes kept 1, 5, 15 minutes.
    assert cold_shares(1 / 300) == pytest.approx((math.exp(-0.2), math.exp(-1), math.exp(-3)))


def test_each_pattern_of_an_offer() -> None:
    found = {each.pattern: each for each in patterns(offer(), SERVED, DAY)}
    # 4 * 730 * 0.10 (test_hand_worked.py).
    assert found["real-time"].usd_per_month == pytest.approx(292.00, abs=CENT)
    # 2 vCPUs want 2 * 1,769 / 1,024 = 3.46 GB: 4 GB. 59.13e6 * 4 * 0.05 * 2.0e-5 = 236.52 USD.
    assert found["serverless"].usd_per_month == pytest.approx(236.52, abs=CENT)
    # Three by day, one by night, no spare: 2 on average: 146.00 USD. Two starts a day of 423 s, 30.4167 days:
    # 2 * 423 / 3600 * 30.4167 * 0.10 = 0.7148 USD.
    assert found["asynchronous"].usd_per_month == pytest.approx(146.715, abs=CENT)
    # 59.13e6 / 20 / 3600 = 821.25 h; 30.4167 starts of 423 s are 3.574 h: 824.824 h * 0.10 = 82.48 USD.
    assert found["batch"].usd_per_month == pytest.approx(82.48, abs=CENT)
    assert found["provisioned concurrency"].usd_per_month is None
    assert "no public source" in found["provisioned concurrency"].text


def test_lambda_is_of_the_architecture_that_was_measured() -> None:
    # 3,538 MB = 3.455078 GB: 59.13e6 * 3.455078 * 0.05 = 10,214,938 GB-s at 1.66667e-5: 170.249 + 11.826.
    found = {each.pattern: each for each in patterns(offer(), SERVED, DAY)}
    assert found["Lambda x86"].usd_per_month == pytest.approx(182.075, abs=CENT)
    assert "Lambda arm" not in found


def test_every_number_that_nobody_measured_is_listed() -> None:
    for each in patterns(offer(), SERVED, DAY):
        assert (each.pattern in ("real-time", "provisioned concurrency")) or each.assumed
    serverless = patterns(offer(), SERVED, DAY)[1]
    assert any("as fast as" in text for text in serverless.assumed)
    assert any("kept" in text for text in serverless.assumed)
    assert serverless.added_latency_s == 3.0


def test_a_model_that_does_not_fit_has_no_price() -> None:
    large = Served(0.05, 3.0, 11_000)
    found = {each.pattern: each.usd_per_month for each in patterns(offer(), large, DAY)}
    assert found["serverless"] is None
    assert found["Lambda x86"] is None


def test_a_price_of_the_users_own_prices_provisioned_concurrency() -> None:
    own = Served(0.05, 3.0, 300, 1e-5, 5e-6)
    # Peak 40 * 0.05 = 2 busy: ceil(2 + 2 * 1.414) = 5 sandboxes of 4 GB.
    # 5 * 4 * 2,628,000 * 1e-5 = 525.60; 59.13e6 * 4 * 0.05 * 5e-6 = 59.13: 584.73 USD.
    found = {each.pattern: each.usd_per_month for each in patterns(offer(), own, DAY)}
    assert found["provisioned concurrency"] == pytest.approx(584.73, abs=CENT)


def test_a_batch_on_a_burstable_type_pays_for_the_surplus() -> None:
    # t3.nano at 50 requests/s and 0.64 cores: 0.0322 USD/h; 59.13e6 / 50 / 3600 + 3.574 = 332.07 h: 10.69.
    nano = offer(NANO.instance_type, 0, 50, 0.64 / 50)
    found = {each.pattern: each.usd_per_month for each in patterns(nano, SERVED, DAY)}
    assert found["batch"] == pytest.approx(10.69, abs=CENT)
