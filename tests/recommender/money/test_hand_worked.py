"""What a month costs, each case worked by hand to the cent. A month has 730 hours, 2,628,000 seconds."""

from __future__ import annotations

import pytest

from modeldyno.recommender.job.traffic_section import Traffic
from modeldyno.recommender.money.choices import answer_text
from modeldyno.recommender.money.demand import Demand, demand, steady_hours
from modeldyno.recommender.money.fleet import fixed_fleet, scaled_fleet
from modeldyno.recommender.money.mix import best_mix
from tests.recommender.money.made import offer

CENT = 0.005


def day_and_night(**other: float) -> Demand:
    """40 requests/s from 8 to 20 o'clock, 5 in the rest: 22.5 on average."""
    return demand(Traffic.model_validate({"day": 40, "night": 5, **other}))


def test_a_month_at_a_curve_fixed_at_the_peak() -> None:
    # 40 * 1.2 = 48 requests/s at 20 each: 3 instances, and a spare one: 4 * 730 h * 0.10 = 292.00 USD.
    # 22.5 * 2,628,000 s = 59.13 million requests: 292 / 59.13 = 4.9383 USD a million.
    # 22.5 of 4 * 20 = 80 requests/s are asked for: 1 - 0.28125 = 71.875 % is idle.
    found = fixed_fleet(offer(), day_and_night())
    assert (found.most, found.least) == (4, 4)
    assert found.usd_per_month == pytest.approx(292.00, abs=CENT)
    assert found.usd_per_million == pytest.approx(4.9383, abs=1e-4)
    assert found.idle_share == pytest.approx(0.71875)


def test_a_month_at_a_curve_scaled_by_the_hour() -> None:
    # By day 3 + 1 instances, by night ceil(5 * 1.2 / 20) + 1 = 2: 3 on average: 3 * 730 * 0.10 = 219.00 USD.
    found = scaled_fleet(offer(), day_and_night())
    assert (found.most, found.least, found.mean) == (4, 2, 3)
    assert found.usd_per_month == pytest.approx(219.00, abs=CENT)
    assert found.idle_share == pytest.approx(1 - 22.5 / 60)


def test_one_instance_more_than_needed() -> None:
    # 40 requests/s without headroom at 20 each are 2 instances exactly; N + 1 = 3: 3 * 730 * 0.10 = 219.00.
    found = fixed_fleet(offer(), day_and_night(headroom=0))
    assert found.most == 3
    assert found.usd_per_month == pytest.approx(219.00, abs=CENT)
    assert fixed_fleet(offer(), day_and_night(headroom=0, spare=0)).most == 2


def test_a_burstable_month_pays_for_the_mean_cpu_above_the_baseline() -> None:
    # t3.nano, 0.0052 USD/h, serves 50 requests/s with 0.64 cores: 0.0128 cores per request/s.
    # 40 * 1.2 = 48: 1 instance, no spare. CPU on average 22.5 * 0.0128 = 0.288 cores, 0.10 are paid for:
    # 730 * (0.0052 + 0.188 * 0.05) = 730 * 0.0146 = 10.658 USD; 730 * 0.0094 = 6.862 of it are surplus.
    found = fixed_fleet(offer("t3.nano", 0, 50, 0.64 / 50), day_and_night(spare=0))
    assert found.usd_per_month == pytest.approx(10.658, abs=CENT)
    assert found.surplus_usd_per_month == pytest.approx(6.862, abs=CENT)


def test_spare_burstable_instances_bring_their_baseline() -> None:
    # Two t3.nano pay for 0.20 cores: 730 * (2 * 0.0052 + 0.088 * 0.05) = 730 * 0.0148 = 10.804 USD.
    found = fixed_fleet(offer("t3.nano", 0, 50, 0.64 / 50), day_and_night())
    assert found.usd_per_month == pytest.approx(10.804, abs=CENT)


def test_a_type_in_standard_mode_has_no_surplus() -> None:
    # t2.small, 0.023 USD/h, sustains 25 requests/s: 48 need 2, and a spare one: 3 * 730 * 0.023 = 50.37 USD.
    found = fixed_fleet(offer("t2.small", 0, 25, 0.008), day_and_night())
    assert found.usd_per_month == pytest.approx(50.37, abs=CENT)


def test_a_mix_of_base_and_peak() -> None:
    # No headroom, no spare; 20 hours of 100 requests/s, 4 of 130. Large serves 100 for 0.40, small 30 for
    # 0.15. Large only: (20 * 1 + 4 * 2) / 24 * 0.40 * 730 = 340.67 USD.
    # Small only: (20 * 4 + 4 * 5) / 24 * 0.15 * 730 = 456.25 USD.
    # One large, and one small for 4 hours: (0.40 + 4 / 24 * 0.15) * 730 = 310.25 USD, 8.9 % less.
    asked = steady_hours([100.0] * 20 + [130.0] * 4, 0, 0)
    found = best_mix([offer("c5.large", 0.40, 100), offer("c5.small", 0.15, 30)], asked)
    assert found is not None
    assert (found.base.instance.instance_type, found.base_count) == ("c5.large", 1)
    assert found.peak_counts == (0,) * 20 + (1,) * 4
    assert found.usd_per_month == pytest.approx(310.25, abs=CENT)


def test_the_answer_in_one_line() -> None:
    assert answer_text(offer(), day_and_night()) == "4 \u00d7 c5.large compiled, $292.00 a month"
