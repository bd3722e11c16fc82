"""Verdicts, worked by hand."""

from __future__ import annotations

import pytest

from benchmarks.loadgen.goals import adds_little, chance_removed, covers, near_mean, near_p99


@pytest.mark.parametrize(
    ("found_ms", "truth_ms", "met"),
    [(5.2, 5.0, True), (5.26, 5.0, False), (21.0, 20.0, True), (21.1, 20.0, False), (18.9, 20.0, False)],
)
def test_a_mean_is_near_within_a_fifth_of_a_millisecond_or_a_twentieth(
    found_ms: float, truth_ms: float, met: bool
) -> None:
    verdict = near_mean("M/D/1", found_ms, truth_ms)
    assert verdict.met is met
    assert verdict.word == ("met" if met else "not met")


def test_a_p99_is_near_within_a_tenth_and_far_when_it_is_not_stated() -> None:
    assert near_p99("q", 109.0, 100.0).met
    assert not near_p99("q", 111.0, 100.0).met
    assert near_p99("q", 91.0, 100.0).found == "91.000 ms for 100.000 ms: -9.0%"
    assert not near_p99("q", None, 100.0).met


def test_nine_of_ten_intervals_are_enough() -> None:
    assert covers("p50", 9, 10).met
    assert not covers("p50", 8, 10).met
    assert not covers("p50", 2, 3).met


def test_a_generator_may_add_150_us() -> None:
    assert adds_little(150.0, 100.0, 200.0).met
    assert not adds_little(150.1, 100.0, 200.0).met
    assert not adds_little(20.0, -900.0, 100.0).met  # such rounds decide nothing


def test_the_chance_of_a_sample_is_taken_out() -> None:
    # A sample whose true times were 2 ms under the formula, measured 0.1 ms too long.
    assert chance_removed(8.1, 8.0, 10.0) == pytest.approx(10.1)


def test_what_a_sample_does_by_chance_is_allowed_where_it_is_told() -> None:
    assert not near_mean("q", 12.0, 10.0).met
    verdict = near_mean("q", 12.0, 10.0, chance_ms=2.5)
    assert verdict.met
    assert verdict.goal == "q: mean within 5% or 0.2 ms or chance (2.50 ms)"
    assert not near_p99("q", 131.0, 100.0, chance_ms=30.0).met
    assert near_p99("q", 129.0, 100.0, chance_ms=30.0).met
