from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modeldyno.loadgen.stats.recording import Recording
from modeldyno.loadgen.stats.steady import steady_from_us
from modeldyno.loadgen.stats.summary import summarise
from tests.loadgen.test_caveats import FINE, OPEN, words

STARTS = np.arange(1000) * 1000
NOISE = np.random.default_rng(1).exponential(1000, 1000).astype(np.int64)


def test_a_run_that_is_steady_throughout_is_steady_from_its_start() -> None:
    assert steady_from_us(STARTS, np.full(1000, 700)) == 0


def test_a_slow_first_fifth_is_cut_where_it_ends() -> None:
    slow = NOISE + np.where(np.arange(1000) < 200, 10_000, 0)
    assert steady_from_us(STARTS, slow) == pytest.approx(200_000, abs=15_000)


def test_requests_are_taken_in_the_order_of_their_start() -> None:
    slow = NOISE + np.where(np.arange(1000) < 200, 10_000, 0)
    mixed = np.random.default_rng(2).permutation(1000)
    assert steady_from_us(STARTS[mixed], slow[mixed]) == steady_from_us(STARTS, slow)


def test_a_latency_that_grows_to_the_end_never_settles() -> None:
    assert steady_from_us(STARTS, np.arange(1000) * 100 + NOISE // 100) is None


def test_a_hundred_requests_are_the_fewest_that_say_anything() -> None:
    assert steady_from_us(STARTS[:99], NOISE[:99]) is None
    assert steady_from_us(STARTS[:100], np.full(100, 5)) == 0


def slow_start() -> Recording:
    """Of 8 s, the first two are ten times as slow."""
    return replace(FINE, latency_us=np.where(FINE.start_us < 2_000_000, 10_000, 1000))


def test_a_warm_up_that_was_too_short_is_said_with_what_it_changes() -> None:
    (word,) = (word for word in words(slow_start()) if "settled" in word)
    assert "latency settled 2 s after the start, the warm-up was 0 s" in word
    assert "10 ms before, 1 ms after" in word


def test_a_run_that_never_settles_is_said() -> None:
    growing = replace(FINE, latency_us=np.arange(4000) * 10 + 1000)
    assert any("latency never settled" in word for word in words(growing))


def test_the_time_line_shows_where_the_run_is_steady() -> None:
    summary = summarise(slow_start(), OPEN)
    assert summary.steady_from_s == 2.0
    assert [point.steady for point in summary.timeline] == [False] * 2 + [True] * 6
