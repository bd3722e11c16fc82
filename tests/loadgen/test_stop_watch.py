"""Real Locust runs that a stop rule ends."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.spec.stages import parse_stairs
from tests.loadgen.stub import PAYLOAD, stub_server

LONG = {"users": 2, "duration_s": 60.0}
SERIAL = ("--service-ms", "20", "--one-at-a-time")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[LoadResult]]:
    # One at a time every 20 ms: 50 a second at the most, and n users wait n times 20 ms.
    kinds: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
        "requests": ((), {**LONG, "stop_when": ("requests>=50",)}),
        "latency": (("--service-ms", "30"), {**LONG, "stop_when": ("p99.9>1s", "p50>5ms")}),
        "open": ((), {"rate_rps": 50.0, "duration_s": 60.0, "stop_when": ("requests>=50",)}),
        "errors": (("--cycle", "ok,fail"), {**LONG, "stop_when": ("errors>10%",)}),
        "flat": (SERIAL, {"stairs": parse_stairs("steps=12,users=1,seconds=2"), "stop_when": ("flat<20%",)}),
        "step": (SERIAL, {"stairs": parse_stairs("steps=6,users=2,seconds=2"), "stop_when": ("p50>65ms",)}),
        "never": ((), {"users": 1, "duration_s": 1.0, "stop_when": ("p99>9s", "errors>50%")}),
    }

    def one(args: tuple[str, ...], fields: dict[str, object]) -> LoadResult:
        with stub_server(tmp_path_factory.mktemp("stub"), *args) as server:
            spec = LoadSpec.model_validate({"url": server.url, "warmup_s": 0.2, **fields})
            return run_load(spec, PAYLOAD)

    with ThreadPoolExecutor(7) as threads:
        return {name: threads.submit(one, *kind) for name, kind in kinds.items()}


@pytest.mark.parametrize(
    ("name", "rule", "why"),
    [
        ("requests", "requests>=50", "requests have ended"),
        ("latency", "p50>5ms", "p50 is"),
        ("open", "requests>=50", "requests have ended"),
        ("errors", "errors>10%", "requests failed"),
        ("flat", "flat<20%", "requests/s in the last 2 stages"),
        ("step", "p50>65ms", " in step "),
        ("never", "duration", ""),
    ],
)
def test_the_result_says_which_rule_ended_the_test(
    runs: dict[str, Future[LoadResult]], name: str, rule: str, why: str
) -> None:
    stop = runs[name].result().stop
    assert stop is not None
    assert stop.rule == rule
    assert why in stop.why


@pytest.mark.parametrize("name", ["requests", "latency", "open", "errors"])
def test_the_window_ends_soon_behind_the_rule_and_loses_nothing(
    runs: dict[str, Future[LoadResult]], name: str
) -> None:
    result = runs[name].result()
    assert result.stop is not None
    assert result.window_s < 30
    assert 0.2 + result.window_s >= result.stop.at_s
    assert not any("never came to an end" in reason for reason in result.invalid_reasons)
    assert result.samples + result.errors >= 2


def test_an_open_loop_that_is_ended_has_every_arrival_of_its_shorter_window(
    runs: dict[str, Future[LoadResult]],
) -> None:
    result = runs["open"].result()
    assert result.samples >= 50
    # Poisson arrivals at 50 a second: within 4 standard deviations.
    expected = 50 * result.window_s
    assert abs(result.samples - expected) < 4 * expected**0.5 + 1


def test_stairs_end_where_throughput_is_flat(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["flat"].result()
    assert 3 <= len(result.stages) < 12
    assert max(stage.throughput_rps.value for stage in result.stages) <= 50 * 1.05


def test_stairs_end_at_the_step_that_breaks_the_threshold(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["step"].result()
    # Two users wait 40 ms, four 80 ms: seen in the second step, ended there or soon behind it.
    assert len(result.stages) < 6
    p50_ms = result.stages[-1].percentile_ms(50.0)
    assert p50_ms is not None
    assert p50_ms > 60


def test_a_test_that_ended_because_of_what_it_saw_says_what_that_does_to_its_intervals(
    runs: dict[str, Future[LoadResult]],
) -> None:
    assert any("because of what it saw" in text for text in runs["latency"].result().warnings)
    for name in ("requests", "never"):
        assert not any("because of what it saw" in text for text in runs[name].result().warnings)
