"""One result from the load tests of a level in several rounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modeldyno.base.records.load import ErrorGroup, LoadResult, Percentile, TimelinePoint
from modeldyno.loadgen.verdict.caveats import sample_caveats
from modeldyno.trials.compare.latencies import binned, decoded
from modeldyno.trials.whole.combined import Spreads, combined, spreads_of
from tests.trials.whole.made import at_rate

NOTHING = Spreads()
FEW = "few samples: 200 do not state p99 (needs 368); measure longer"


def percentile(found: LoadResult, at: float) -> Percentile:
    return next(each for each in found.percentiles if each.percentile == at)


def test_percentiles_are_those_of_all_requests_and_counts_add_up() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.integers(1000, 9000, 400), rng.integers(2000, 20000, 600)
    found = combined([at_rate(one, 90.0), at_rate(two, 110.0)], NOTHING)
    both = binned(np.concatenate([one, two]))
    assert np.array_equal(decoded(found.histogram), both)
    assert percentile(found, 50.0).ms == both[499] / 1000
    assert percentile(found, 99.0).ms == both[989] / 1000
    assert (found.samples, found.window_s, found.throughput_rps.value) == (1000, 20.0, 100.0)
    assert found.mean_ms == pytest.approx(np.concatenate([one, two]).mean() / 1000)


def test_rounds_that_differ_make_intervals_wider() -> None:
    rng = np.random.default_rng(2)
    rounds = [at_rate(rng.normal(5000 * factor, 50, 1000)) for factor in (0.9, 1.1)]
    steady = [at_rate(rng.normal(5000, 50, 1000)) for _ in range(2)]
    spreads = spreads_of([rounds, steady])
    assert spreads.percentiles[50.0].freedoms == 2
    alone, wide = percentile(combined(steady, NOTHING), 50.0), percentile(combined(steady, spreads), 50.0)
    assert wide.ms == alone.ms
    assert wide.low_ms is not None
    assert wide.high_ms is not None
    assert alone.high_ms is not None
    half = spreads.percentiles[50.0].half(2)
    assert wide.high_ms == pytest.approx((wide.ms or 0) * math.exp(half))
    assert wide.high_ms > 1.2 * alone.high_ms


def test_two_rounds_state_what_one_is_too_short_for() -> None:
    rng = np.random.default_rng(3)
    short = [
        at_rate(rng.integers(1000, 9000, 200), warnings=(FEW, f"sent {late} ms late")) for late in (3, 4.5)
    ]
    assert short[0].percentile_ms(99.0) is None
    assert FEW in sample_caveats(short[0])
    found = combined(short, spreads_of([short]))
    assert found.percentile_ms(99.0) is not None
    assert found.warnings == ("sent 3 ms late",)


def test_a_void_round_does_not_count_unless_all_are_void() -> None:
    good, bad = at_rate(np.full(400, 5000)), at_rate(np.full(400, 9000), 50.0, invalid_reasons=("late",))
    assert combined([bad, good], NOTHING).throughput_rps.value == 100.0
    assert combined([bad, good], NOTHING).valid
    assert spreads_of([[bad, good]]).throughput.freedoms == 0
    both = combined([bad, bad], NOTHING)
    assert both.invalid_reasons == ("late",)
    assert both.samples == 800


def test_failures_are_added_up_by_kind_and_time_lines_follow_each_other() -> None:
    line = tuple(
        TimelinePoint(second=s, requests=9, errors=0, p50_ms=1, p99_ms=2, warmup=False) for s in range(3)
    )
    groups = (ErrorGroup(status=503, message="full", count=2),)
    tests = [at_rate(np.full(98, 5000), errors=2, error_groups=groups, timeline=line) for _ in range(2)]
    found = combined(tests, NOTHING)
    assert found.error_groups == (ErrorGroup(status=503, message="full", count=4),)
    assert (found.errors, found.error_rate) == (4, 0.02)
    assert [each.second for each in found.timeline] == [0, 1, 2, 3, 4, 5]
