"""The best mix of two types is that of brute force."""

from __future__ import annotations

import random
from itertools import product

import pytest

from modeldyno.recommender.money.demand import MONTH_HOURS, Demand, steady_hours
from modeldyno.recommender.money.fleet import Offer, scaled_fleet
from modeldyno.recommender.money.mix import best_mix
from tests.recommender.money.made import offer


def drawn(seed: int) -> tuple[list[Offer], Demand]:
    chance = random.Random(seed)  # noqa: S311 - cases that repeat
    capacities = chance.sample([8, 20, 45, 100, 220], chance.randint(2, 4))
    offers = [
        offer(f"t{at}.x", round(0.01 * capacity**0.75 * chance.uniform(0.9, 1.1), 4), float(capacity))
        for at, capacity in enumerate(capacities)
    ]
    hourly = [float(chance.randint(5, 260)) for _ in range(chance.randint(1, 5))]
    return offers, steady_hours(hourly, chance.choice([0, 0.2]), chance.choice([0, 0, 1]))


def by_brute_force(offers: list[Offer], asked: Demand, saving: float) -> float | None:
    """Every base, every number of it, every number of the other in every hour, with the spare ones."""
    best = None
    for base, peak in product(offers, offers):
        if base is peak:
            continue
        for always in range(1, 40):
            hours = [
                min(
                    count
                    for count in range(60)
                    if always * base.capacity_rps + count * peak.capacity_rps
                    >= rate * (1 + asked.headroom) * (1 - 1e-12)
                )
                for rate in asked.peaks_rps
            ]
            if not any(hours):
                break
            larger = base if base.capacity_rps >= peak.capacity_rps else peak
            usd = MONTH_HOURS * (
                always * base.instance.usd_per_hour
                + sum(hours) / len(hours) * peak.instance.usd_per_hour
                + asked.spare * larger.instance.usd_per_hour
            )
            best = usd if best is None else min(best, usd)
    single = min(scaled_fleet(each, asked).usd_per_month for each in offers)
    return best if best is not None and best <= (1 - saving) * single else None


@pytest.mark.parametrize("saving", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(50))
def test_it_is_that_of_brute_force(seed: int, saving: float) -> None:
    offers, asked = drawn(seed)
    found, expected = best_mix(offers, asked, saving), by_brute_force(offers, asked, saving)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found.usd_per_month == pytest.approx(expected)


def test_some_of_the_cases_have_a_mix() -> None:
    assert 5 <= sum(best_mix(*drawn(seed)) is not None for seed in range(50)) <= 45


def test_one_type_alone_has_no_mix() -> None:
    assert best_mix([offer()], steady_hours([10], 0, 0)) is None


def test_a_load_of_very_many_instances_is_still_answered() -> None:
    asked = steady_hours([1e5] * 20 + [1.3e5] * 4, 0.2, 1)
    assert best_mix([offer("a.x", 0.40, 100), offer("b.x", 0.10, 30)], asked) is None
