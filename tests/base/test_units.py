"""Conversions, worked by hand."""

from __future__ import annotations

import doctest
import math

import pytest

from modeldyno.base import units
from modeldyno.base.units import short_duration, usd_per_million


def test_a_million_requests_at_100_a_second_take_two_hours_and_47_minutes() -> None:
    # 1,000,000 / 100 = 10,000 s = 2.7778 h; at 0.17 USD an hour that is 0.47222 USD.
    assert usd_per_million(0.17, 100.0) == pytest.approx(0.472222, abs=1e-6)


def test_no_throughput_costs_infinitely_much() -> None:
    assert math.isinf(usd_per_million(0.17, 0.0))


def test_twice_the_throughput_is_half_the_cost() -> None:
    assert usd_per_million(1.0, 50.0) == pytest.approx(2 * usd_per_million(1.0, 100.0))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0s"),
        (8.24, "8.2s"),
        (59.4, "59s"),
        (60, "1m00s"),
        (185, "3m05s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (3725, "1h02m"),
    ],
)
def test_durations_are_worded_for_a_person(seconds: float, words: str) -> None:
    assert short_duration(seconds) == words


def test_the_examples_in_the_docstrings_hold() -> None:
    outcome = doctest.testmod(units)
    assert (outcome.attempted, outcome.failed) == (2, 0)
