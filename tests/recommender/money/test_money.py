"""From measured trials to the answer, the flips and the record."""

from __future__ import annotations

import time

import pytest

from modeldyno.base.records.money import Money
from modeldyno.base.records.run import Limits, Trial
from modeldyno.recommender.job.traffic_section import Traffic
from modeldyno.recommender.money.choices import chosen, flip_loads
from modeldyno.recommender.money.demand import Demand, steady_hours
from modeldyno.recommender.money.fleet import Offer
from modeldyno.recommender.money.money import money
from modeldyno.recommender.rank.rank import rank
from modeldyno.recommender.show.month import print_month
from tests.recommender.measured import instance, point, trial
from tests.recommender.money.made import offer

DAY = Traffic(day=40, night=5)
LARGE, SMALL = instance("c5.large", 0.10), instance("c5.small", 0.03)


def priced(*trials: Trial, limits: Limits | None = None, traffic: Traffic = DAY) -> Money:
    limits = limits or Limits(p99_ms=100)
    ranking, _ = rank(trials, limits)
    return money(traffic, ranking, trials, limits)


def test_the_cheapest_month_is_the_answer_not_the_cheapest_million() -> None:
    # Small: 5 requests/s for 0.03: ceil(48 / 5) + 1 = 11 are 240.90 USD. Large: 4 are 292.00.
    found = priced(trial(point(20), on=LARGE), trial(point(5), on=SMALL))
    assert found.best == found.candidates[0].trial == "c5.small_compiled_t1_w1"
    assert found.answer.startswith(
        "For 40 requests/s by day (8 to 20 o'clock), 5 by night: 11 \u00d7 c5.small"
    )
    assert "$240.90 a month (20% of headroom; 1 spare; $" in found.answer
    assert found.answer.endswith("a month is 730 h).")
    assert [each.fixed.most for each in found.candidates] == [11, 4]
    assert Money.model_validate_json(found.model_dump_json()) == found


def test_what_would_change_the_answer_is_told() -> None:
    found = priced(trial(point(20), on=LARGE), trial(point(5), on=SMALL))
    flips = {each.what: each.changed for each in found.flips}
    # Small + 20 %: 289.08, still less than 292.00. Large - 20 %: 233.60, less than 240.90.
    assert not flips["price of c5.small +20%"]
    assert flips["price of c5.large -20%"]
    # Half of it: small ceil(24 / 5) + 1 = 6 are 131.40, large 2 + 1 = 3 are 219.00.
    assert not flips["traffic \u00d7 0.5"]


def test_a_looser_limit_finds_what_was_tried_beyond_the_old_one() -> None:
    levels = (point(20, 90, users=1), point(30, 110, users=2), point(12, 70, users=3))
    found = priced(trial(*levels, on=LARGE))
    by_limit = {each.what.partition(",")[0]: each.text for each in found.flips if "limits" in each.what}
    # 48 requests/s: at 30 each 2 + 1, at 12 each 4 + 1; at 20 each 3 + 1.
    assert by_limit["limits on latency +20%"].startswith("3 \u00d7")
    assert by_limit["limits on latency -20%"].startswith("5 \u00d7")


def test_the_console_has_the_answer_and_a_row_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    print_month(priced(trial(point(20), on=LARGE), trial(point(5), on=SMALL)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("For 40 requests/s by day")
    assert "price of c5.large -20%: 4 \u00d7 c5.large compiled, $233.60 a month" in lines[2]
    row = next(line for line in lines if line.startswith("c5.large_compiled_t1_w1"))
    assert row.split() == [
        "c5.large_compiled_t1_w1",
        "20",
        "4",
        "292.00",
        "4.94",
        "72%",
        "2",
        "to",
        "4",
        "219.00",
    ]


def test_nothing_within_the_limits_has_no_price() -> None:
    found = priced(trial(point(20, 300), on=LARGE))
    assert (found.best, found.candidates, found.mix) == (None, (), None)
    assert "nothing that was measured meets the limits" in found.answer


def test_without_a_limit_on_latency_that_is_said() -> None:
    found = priced(trial(point(20), on=LARGE), limits=Limits())
    assert any("no limit on latency was given" in note for note in found.notes)


def test_an_assumed_price_is_listed() -> None:
    derived = LARGE.model_copy(update={"assumed": "usd_per_hour"})
    assert "c5.large: usd_per_hour" in priced(trial(point(20), on=derived)).assumed


def test_the_load_at_which_the_choice_flips_is_where_it_does() -> None:
    offers, asked = [offer("a.x", 0.10, 20), offer("b.x", 0.03, 5)], steady_hours([40.0], 0.2, 1)
    found = flip_loads(offers, asked)
    # b is the cheapest from the start; a from 0.1 * (ceil(1.2 r / 20) + 1) < 0.03 * (ceil(1.2 r / 5) + 1) on.
    assert found.below_rps is None
    assert found.above_rps is not None
    names = {rate: _best(offers, asked, rate) for rate in (4, 40, found.above_rps, found.above_rps * 1.0001)}
    assert list(names.values()) == ["b.x_compiled", "b.x_compiled", "b.x_compiled", "a.x_compiled"]
    between = (40 + (found.above_rps - 40) * at / 500 for at in range(501))
    assert {_best(offers, asked, rate) for rate in between} == {"b.x_compiled"}
    back = flip_loads(offers, steady_hours([400.0], 0.2, 1))
    assert back.below_rps is not None
    assert found.above_rps <= back.below_rps < 400


def _best(offers: list[Offer], asked: Demand, rate_rps: float) -> str | None:
    found = chosen(offers, asked, rate_rps / asked.peak_rps)
    return found.trial if found else None


def test_one_candidate_never_flips() -> None:
    assert flip_loads([offer()], steady_hours([40.0], 0.2, 1)) == (None, None)


def test_a_long_trace_and_many_candidates_take_seconds() -> None:
    began = time.process_time()
    offers = [offer(f"t{at}.x", 0.01 * at + 0.01, 3.0 * at + 4) for at in range(30)]
    flip_loads(offers, steady_hours([float(rate % 97 + 1) for rate in range(9600)], 0.2, 1))
    assert time.process_time() - began < 20


@pytest.mark.parametrize("spare", [0, 2])
def test_held_types_are_counted_by_what_they_sustain(spare: int) -> None:
    held = LARGE.model_copy(update={"baseline_share": 0.25, "credit_mode": "standard"})
    found = priced(trial(point(20, cpu_cores=1.0), on=held), traffic=Traffic(rate_rps=10, spare=spare))
    # 2 * 0.25 of 1 core: 10 of 20 requests/s: ceil(12 / 10) = 2.
    assert found.candidates[0].fixed.most == 2 + spare


def test_provisioned_concurrency_is_priced_by_the_users_prices() -> None:
    own = Traffic(day=40, night=5, provisioned_usd_per_gb_s=1e-5, provisioned_run_usd_per_gb_s=5e-6)
    prices = [
        {
            each.pattern: each.usd_per_month
            for each in priced(trial(point(20), on=LARGE), traffic=each).patterns
        }
        for each in (own, DAY)
    ]
    assert prices[0]["provisioned concurrency"] is not None
    assert prices[1]["provisioned concurrency"] is None
