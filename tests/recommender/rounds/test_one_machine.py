from __future__ import annotations

from modeldyno.base.records.run import InstanceType
from modeldyno.recommender.rank.projected import family_speeds, ordered, same_machine
from modeldyno.recommender.rounds.groups import groups_of
from modeldyno.trials.catalog.instance_types import load_catalog
from tests.recommender.tiny import instance, planned


def family(name: str, coremark: float, usd: float, vcpus: int = 2) -> InstanceType:
    return instance(f"{name}.x", family=name, vcpus=vcpus, coremark_per_s=coremark * vcpus, usd_per_hour=usd)


def test_types_of_one_shape_are_one_machine_measured_under_the_smallest_memory() -> None:
    small, large = instance("a.small", memory_gib=1), instance("b.large", memory_gib=8)
    other = instance("c.more", vcpus=2)
    groups = groups_of([planned(large), planned(small), planned(other), planned(small, "compiled")])
    assert [[each.candidate.instance_type for each in group.members] for group in groups] == [
        ["b.large", "a.small"],
        ["c.more"],
        ["a.small"],
    ]
    assert groups[0].measured.instance == small
    assert [group.shape for group in groups] == ["1 vCPU", "2 vCPUs", "1 vCPU"]


def test_within_one_machine_the_order_is_price_over_projected_speed() -> None:
    fast, slow = family("fast", 30_000, 0.11), family("slow", 20_000, 0.10)
    speeds = family_speeds([fast, slow])
    assert [each.family for each in ordered([slow, fast], speeds)] == ["fast", "slow"]
    found = same_machine("2 vCPUs", [slow, fast], "slow.x", speeds)
    assert found.instance_types == ("fast.x", "slow.x")
    assert not found.decided  # 36 % apart, and the projection is off by some 40 %
    assert "is not told" in found.text


def test_a_projection_decides_where_the_difference_is_beyond_its_error() -> None:
    cheap, dear = family("cheap", 20_000, 0.05), family("dear", 20_000, 0.20)
    found = same_machine("2 vCPUs", [dear, cheap], "dear.x", family_speeds([cheap, dear]))
    assert found.decided
    assert "cheap.x is projected to be 300% cheaper" in found.text


def test_the_catalogues_own_families_have_a_speed_with_an_error() -> None:
    speeds = family_speeds(load_catalog().values())
    assert speeds["c7a"].log > speeds["c7i"].log
    assert all(0 < speed.error < 1 for speed in speeds.values())
