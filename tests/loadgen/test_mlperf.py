from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.spec.mlperf import (
    Queries,
    chance,
    estimate_us,
    most_over,
    queries_of,
    scenario_spec,
    verdict,
    within_needed,
)
from modeldyno.loadgen.stats.recording import Recording
from tests.loadgen.stub import PAYLOAD, stub_server


def exact(queries: int, over: int, percentile: Fraction) -> Fraction:
    return sum(
        (
            math.comb(queries, count) * (1 - percentile) ** count * percentile ** (queries - count)
            for count in range(over + 1)
        ),
        Fraction(0),
    )


def recording(latency_ms: list[float], failed: int = 0, every_us: int = 1000) -> Recording:
    starts = np.arange(len(latency_ms), dtype=np.int64) * every_us
    return Recording(
        start_us=starts,
        latency_us=(1000 * np.asarray(latency_ms)).astype(np.int64),
        lag_us=np.zeros_like(starts),
        failure_start_us=np.zeros(failed, np.int64),
        failure_latency_us=np.ones(failed, np.int64),
        failure_kind=np.zeros(failed, np.int64),
    )


@pytest.mark.parametrize("percentile", [Fraction(9, 10), Fraction(99, 100), Fraction(1, 2)])
def test_the_binomial_tail_is_the_sum_of_its_terms(percentile: Fraction) -> None:
    for queries in (1, 2, 10, 64, 300):
        for over in {0, 1, 2, queries // 10, queries // 2, queries - 1, queries}:
            expected = float(exact(queries, over, percentile))
            assert chance(queries, over, float(percentile)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_without_one_over_the_latency_it_needs_log_of_a_hundredth_over_log_of_the_percentile(
    percentile: float,
) -> None:
    assert within_needed(0, percentile) == math.ceil(math.log(0.01) / math.log(percentile))


def test_the_queries_that_are_needed_are_the_least_that_brute_force_finds() -> None:
    for percentile in (Fraction(9, 10), Fraction(3, 4)):
        for over in range(8):
            within = next(
                within
                for within in range(1, 999)
                if exact(within + over, over, percentile) < Fraction(1, 100)
            )
            assert within_needed(over, float(percentile)) == within


def test_queries_of_the_rules() -> None:
    # What LoadGen prints as "need to process at least": 64 for SingleStream, 662 for MultiStream.
    assert within_needed(1, 0.9) + 1 == 64
    assert within_needed(1, 0.99) + 1 == 662


@pytest.mark.parametrize(("queries", "discarded"), [(2048, 172), (2116, 178), (2145, 181), (7469, 685)])
def test_as_many_are_discarded_as_loadgen_discarded_in_published_results(
    queries: int, discarded: int
) -> None:
    # "Processed at least 64 queries (2048). Would discard 172 highest latency queries." and so on.
    over = most_over(queries, 0.90)
    assert over is not None
    assert over - 1 == discarded


def test_large_numbers_stay_near_the_normal_approximation() -> None:
    # n (1 - p) - 2.326 sqrt(n p (1 - p)) of ten million at p99: 99,268.
    over = most_over(10_000_000, 0.99)
    assert over is not None
    assert over == pytest.approx(100_000 - 2.326 * math.sqrt(99_000), abs=3)
    assert within_needed(over, 0.99) + over <= 10_000_000 < within_needed(over + 1, 0.99) + over + 1


def test_the_estimate_is_the_slowest_query_that_is_left() -> None:
    latency_us = np.arange(1, 2049)
    # 172 discarded of 1 ... 2048: the 2048 - 172th is left.
    assert estimate_us(Queries(latency_us, 0, 1.0, 1.0), 0.9) == (1876, 172)
    assert estimate_us(Queries(latency_us[:63], 0, 1.0, 1.0), 0.9) == (None, 0)


def test_failed_queries_are_slower_than_all_others() -> None:
    assert estimate_us(Queries(np.arange(1, 1949), 100, 1.0, 1.0), 0.9) == (1876, 172)
    assert estimate_us(Queries(np.arange(1, 1849), 200, 1.0, 1.0), 0.9) == (None, 172)


def test_single_stream_has_its_estimate_as_metric() -> None:
    spec = scenario_spec(LoadSpec(url="u", warmup_s=0), "SingleStream", bound_ms=None)
    found = verdict(spec, recording([float(ms) for ms in range(1, 2049)]), 600.0)
    assert found is not None
    assert (found.value, found.unit, found.queries, found.needed_queries) == (1876.0, "ms", 2048, 64)
    assert found.valid
    too_short = verdict(spec, recording([1.0] * 63), 599.0)
    assert too_short is not None
    assert (too_short.value, too_short.duration_met) == (None, False)
    assert too_short.reasons == ("early stopping needs 64 queries, there were 63",)


def test_server_counts_what_is_over_its_bound() -> None:
    spec = LoadSpec(url="u", warmup_s=0, rate_rps=10)
    spec = scenario_spec(spec, "Server", bound_ms=15.0)
    good = verdict(spec, recording([15.0] * 660 + [15.1, 15.1]), 600.0)
    assert good is not None
    assert (good.over_latency, good.needed_queries) == (2, 838)
    assert good.reasons == (
        "2 of 662 queries took over 15 ms; early stopping needs 838 queries with so many",
    )
    enough = verdict(spec, recording([15.0] * 836 + [15.1], failed=1), 600.0)
    assert enough is not None
    assert enough.valid
    assert enough.value == pytest.approx(838 / 600)


def test_offline_divides_the_samples_by_the_end_of_the_last() -> None:
    spec = scenario_spec(LoadSpec(url="u", warmup_s=0), "Offline", bound_ms=None)
    # A sample each millisecond, the last 100 ms long: 24,576 in 24.675 s.
    found = verdict(spec, recording([100.0] * 24_576), 30.0)
    assert found is not None
    assert found.value == pytest.approx(24_576 / 24.675)
    assert found.reasons == ()
    assert queries_of(spec, recording([100.0] * 20), 0.01).number == 10


@pytest.mark.parametrize(
    ("fields", "name", "bound_ms", "told"),
    [
        ({"users": 1}, "Server", 15.0, "an open loop at `rate_rps`"),
        ({"rate_rps": 5}, "Offline", None, "a closed loop"),
        ({"rate_rps": 5}, "Server", None, "needs Poisson arrivals and its latency bound"),
        ({"rate_rps": 5, "arrival": "constant"}, "Server", 15.0, "needs Poisson"),
        ({"users": 2}, "SingleStream", None, "one query at a time"),
        ({}, "MultiStream", 15.0, "has no latency bound"),
    ],
)
def test_a_load_that_a_scenario_has_not_is_refused(
    fields: dict[str, object], name: str, bound_ms: float | None, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        scenario_spec(LoadSpec.model_validate({"url": "u", **fields}), name, bound_ms=bound_ms)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[LoadResult]]:
    kinds: dict[str, tuple[tuple[str, ...], dict[str, float], float | None]] = {
        "MultiStream": (("--service-ms", "20", "--one-at-a-time"), {}, None),
        "Offline": (("--service-ms", "20"), {"users": 4}, None),
        "Server": (("--service-ms", "20"), {"rate_rps": 20}, 5000.0),
    }

    def one(name: str, args: tuple[str, ...], fields: dict[str, float], bound_ms: float | None) -> LoadResult:
        with stub_server(tmp_path_factory.mktemp("stub"), *args) as server:
            load = {"url": server.url, "warmup_s": 0.2, "duration_s": 2.0, **fields}
            spec = scenario_spec(LoadSpec.model_validate(load), name, bound_ms=bound_ms)
            return run_load(spec, PAYLOAD)

    with ThreadPoolExecutor() as threads:
        return {name: threads.submit(one, name, *kind) for name, kind in kinds.items()}


def test_a_query_of_multi_stream_is_eight_requests_at_once(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["MultiStream"].result()
    # One at a time, 20 ms each: all eight of a query are there after 160 ms.
    assert result.min_ms is not None
    assert result.min_ms >= 155
    assert result.samples <= 2 / 0.155 + 1
    assert result.errors == 0
    assert result.scenario is not None
    assert result.scenario.queries == result.samples


def test_a_short_run_says_what_the_rules_miss(runs: dict[str, Future[LoadResult]]) -> None:
    offline, server = runs["Offline"].result().scenario, runs["Server"].result().scenario
    assert offline is not None
    assert server is not None
    assert not offline.valid
    assert not server.valid
    assert "24576" in offline.reasons[0]
    assert (server.over_latency, server.needed_queries) == (0, 459)
    assert offline.value is not None
    assert 0 < offline.value <= 200
