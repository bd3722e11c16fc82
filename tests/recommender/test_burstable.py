"""What a burstable type costs follows from the CPU that was measured; each figure is worked by hand."""

from __future__ import annotations

import pytest

from modeldyno.base.records.load import RateSearch, RateStep
from modeldyno.base.records.run import InstanceType, Limits, Trial
from modeldyno.recommender.rank.rank import rank
from modeldyno.trials.catalog.cost import burst_note, hourly
from modeldyno.trials.catalog.instance_types import load_catalog
from modeldyno.trials.catalog.instances_cli import _burst
from tests.recommender.measured import point, trial

CATALOG = load_catalog()
NANO, HELD = CATALOG["t3.nano"], CATALOG["t2.small"]


def test_unlimited_mode_costs_the_surplus() -> None:
    # The price pays for 2 x 5 % = 0.10 cores; 0.64 - 0.10 = 0.54 cores at 0.05 USD are 0.027 USD an hour.
    found = hourly(NANO, 0.64)
    assert found.surplus_usd == pytest.approx(0.027)
    assert found.usd(NANO.usd_per_hour) == pytest.approx(0.0322)  # 0.0052 + 0.027: six times the list price
    assert found.held_share == 1


def test_the_row_costs_what_the_measured_cpu_costs() -> None:
    # 0.0322 USD an hour at 3,440 requests/s: 0.0322 / (3440 * 3600) * 1e6 = 0.0026001 USD a million.
    (row,), _ = rank([trial(point(3440, cpu_cores=0.64), on=NANO)], Limits())
    assert row.usd_per_million == pytest.approx(0.0026001, abs=1e-7)
    assert row.usd_per_hour == 0.0052
    assert row.paid_usd_per_hour == pytest.approx(0.0322)
    assert any("the surplus costs 0.027 USD/h" in text for text in row.warnings)


def test_below_the_baseline_the_list_price_holds_and_nothing_is_said() -> None:
    (row,), _ = rank([trial(point(100, cpu_cores=0.09), on=NANO)], Limits())
    assert (row.surplus_usd_per_hour, row.held_share, row.warnings) == (0, 1, ())


def test_standard_mode_is_held_to_its_baseline() -> None:
    # t2.small: 1 x 20 % = 0.2 cores; measured 0.8 cores at 100 requests/s: it sustains a quarter, 25/s.
    # 0.023 USD an hour at 25 requests/s: 0.023 / 90,000 * 1e6 = 0.2556 USD a million.
    (row,), _ = rank([trial(point(100, rps_interval=(96, 104), cpu_cores=0.8), on=HELD)], Limits())
    assert (row.throughput_rps, row.throughput_low_rps, row.throughput_high_rps) == (25, 24, 26)
    assert (row.held_share, row.surplus_usd_per_hour) == (0.25, 0)
    assert row.usd_per_million == pytest.approx(0.25556, abs=1e-5)
    assert any("25.0% of what was measured" in text for text in row.warnings)


def test_a_throughput_limit_is_judged_by_what_is_sustained() -> None:
    _, (row,) = rank([trial(point(100, cpu_cores=0.8), on=HELD)], Limits(throughput_rps=30))
    assert "throughput 25.0 rps < 30 rps" in row.reasons[0]


def test_a_price_limit_is_judged_by_the_whole_hour() -> None:
    # 2 cores: 0.0052 + 1.9 * 0.05 = 0.1002 USD an hour.
    _, (row,) = rank([trial(point(100, cpu_cores=2), on=NANO)], Limits(usd_per_hour=0.05))
    assert "price 0.1002 USD/h > 0.05 USD/h" in row.reasons[0]


def test_a_burstable_type_no_longer_wins_by_its_list_price() -> None:
    large = CATALOG["c7a.medium"]
    busy = [trial(point(100, cpu_cores=2), on=NANO), trial(point(100, cpu_cores=1), on=large)]
    ranking, _ = rank(busy, Limits())
    assert [row.instance_type for row in ranking] == ["c7a.medium", "t3.nano"]


def test_the_cheapest_level_counts_not_the_fastest() -> None:
    # At 200/s: (0.0052 + 1.5 * 0.05) / 200; at 100/s within the baseline: 0.0052 / 100, an eighth of it.
    levels = (point(100, users=1, cpu_cores=0.1), point(200, users=4, cpu_cores=1.6))
    (row,), _ = rank([trial(*levels, on=NANO)], Limits())
    assert row.users == 1


def test_a_rate_that_was_searched_for_is_held_too() -> None:
    load = point(100, cpu_cores=0.8)
    load = load.model_copy(update={"spec": load.spec.model_copy(update={"users": None, "rate_rps": 100.0})})
    step = RateStep(
        rate_rps=100.0,
        met=True,
        void=False,
        reasons=(),
        certain=True,
        figures={},
        throughput_rps=100,
        samples=9,
    )
    search = RateSearch(
        url="", limits={"p99_ms": 100.0}, met_rps=100.0, failed_rps=None, confirmed=True, steps=(step,)
    )
    found = trial(load, on=HELD).model_copy(update={"search": search})
    (row,), _ = rank([found], Limits(p99_ms=100))
    assert (row.throughput_rps, row.throughput_low_rps) == (25, 25)


def test_unmeasured_cpu_is_said_to_be_so() -> None:
    (row,), _ = rank([trial(point(100, cpu_cores=None), on=NANO)], Limits())
    assert any("its CPU was not measured" in text for text in row.warnings)


def test_an_older_run_folder_still_reads() -> None:
    written = trial(point(100), on=NANO).model_dump(mode="json")
    for name in ("baseline_share", "surplus_usd_per_vcpu_hour", "credit_mode", "credit_source", "assumed"):
        written["instance"].pop(name)
    older = Trial.model_validate(written)
    assert older.instance.baseline_cores is None
    assert "is burstable" in (burst_note(older.instance, 0.5) or "")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("t3.nano", "5 %, 0.05"), ("t2.small", "20 %, held"), ("t4g.nano", "5 %, 0.04*"), ("c7a.large", "-")],
)
def test_the_list_shows_what_the_price_pays_for(name: str, shown: str) -> None:
    instance: InstanceType = CATALOG[name]
    assert _burst(instance) == shown
