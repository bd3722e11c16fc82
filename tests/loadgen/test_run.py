"""Real Locust runs against a real server process with a known service time."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from threading import Timer

import psutil
import pytest
from hdrh.histogram import HdrHistogram

from modeldyno.base.errors import ConfigError, LoadTestError
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.process.procs import free_port
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import read_record, write_record
from modeldyno.loadgen import run
from modeldyno.loadgen.generator import fleet
from modeldyno.loadgen.generator.fleet import Workers
from modeldyno.loadgen.generator.progress import LoadProgress
from modeldyno.loadgen.payloads.files import single
from modeldyno.loadgen.spec.arrivals import poisson_arrivals
from modeldyno.loadgen.spec.checks import checked_spec
from tests.loadgen.stub import PAYLOAD, Running, load, stub_server

STALL = ("--stall-at-s", "1")
SLOW_FIRST_SECOND = ("--slow-until-s", "1", "--slow-ms", "200")
ALL_KINDS = ("--cycle", "ok,fail,hang,move,cut,fail")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> LoadResult:
    """Two users of a server that sleeps 20 ms."""
    with stub_server(tmp_path_factory.mktemp("stub"), "--service-ms", "20") as server:
        return load(server, users=2, warmup_s=0.3, duration_s=1.5)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[LoadResult]]:
    """Runs whose claims stand whatever else the machine does, at the same time."""

    def one(args: tuple[str, ...], fields: dict[str, float]) -> LoadResult:
        with stub_server(tmp_path_factory.mktemp("stub"), *args) as server:
            return load(server, **fields)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as threads:
        patch.setattr(run, "MAX_POOL", 8)
        return {
            "open": threads.submit(one, STALL, {"rate_rps": 200, "warmup_s": 0.5, "duration_s": 2.5}),
            "closed": threads.submit(one, STALL, {"users": 1, "warmup_s": 0.5, "duration_s": 2.5}),
            "warmup": threads.submit(
                one, SLOW_FIRST_SECOND, {"users": 2, "warmup_s": 1.25, "duration_s": 1.5}
            ),
            "until_enough": threads.submit(
                one,
                ("--service-ms", "20"),
                {"users": 1, "warmup_s": 0.2, "duration_s": 0.5, "min_samples": 60, "max_duration_s": 20},
            ),
            "never_enough": threads.submit(
                one,
                ("--service-ms", "20"),
                {"users": 1, "warmup_s": 0.2, "duration_s": 0.5, "min_samples": 9999, "max_duration_s": 1.5},
            ),
            "failures": threads.submit(
                one, ALL_KINDS, {"users": 1, "warmup_s": 0.2, "duration_s": 2.5, "timeout_s": 0.25}
            ),
        }


def test_the_window_goes_on_until_there_are_samples_enough(
    side_by_side: dict[str, Future[LoadResult]],
) -> None:
    # One user of a 20 ms server makes at most 50 requests a second: 60 samples take 1.2 s or more.
    result = side_by_side["until_enough"].result()
    assert result.samples >= 60
    assert 1.2 <= result.window_s < 20
    assert result.throughput_rps.value == pytest.approx(result.samples / result.window_s, rel=0.05)
    assert result.server is not None
    assert result.server.samples > 0


def test_the_window_ends_at_its_longest_without_samples_enough(
    side_by_side: dict[str, Future[LoadResult]],
) -> None:
    result = side_by_side["never_enough"].result()
    assert result.window_s == 1.5
    assert 0 < result.samples <= 75


def test_an_open_loop_is_made_long_enough_before_it_starts() -> None:
    spec = LoadSpec(url="http://127.0.0.1:1", rate_rps=10, duration_s=5, min_samples=100, max_duration_s=60)
    sent = single(PAYLOAD)
    assert checked_spec(spec, sent).duration_s == 11  # 1.05 * 100 / 10, rounded up
    assert checked_spec(spec.model_copy(update={"max_duration_s": 8}), sent).duration_s == 8


def over(result: LoadResult, ms: float) -> int:
    """Requests of a result that took longer, from its histogram."""
    histogram = HdrHistogram.decode(result.histogram)
    return sum(item.count_added_in_this_iter_step for item in histogram if item.value_iterated_to > ms * 1000)


@pytest.mark.timed
def test_p50_of_a_server_that_sleeps_20_ms_is_20_ms_and_a_little(closed: LoadResult) -> None:
    p50_ms = closed.percentile_ms(50.0)
    assert p50_ms is not None
    assert 20 <= p50_ms < 40
    assert closed.min_ms is not None
    assert closed.min_ms >= 20


def test_two_users_get_what_littles_law_says(closed: LoadResult) -> None:
    assert closed.mean_ms is not None
    assert closed.throughput_rps.value == pytest.approx(2 / (closed.mean_ms / 1000), rel=0.15)
    assert closed.throughput_rps.low <= closed.throughput_rps.value <= closed.throughput_rps.high
    assert closed.throughput_rps.high - closed.throughput_rps.low >= 2 / closed.window_s


def test_the_histogram_holds_every_sample(closed: LoadResult) -> None:
    histogram = HdrHistogram.decode(closed.histogram)
    assert histogram.get_total_count() == closed.samples
    assert histogram.get_value_at_percentile(50) / 1000 == pytest.approx(closed.percentile_ms(50.0), rel=2e-3)


def test_percentiles_that_the_samples_do_not_carry_are_not_stated(closed: LoadResult) -> None:
    assert 72 <= closed.samples < 368
    assert [entry.ms is not None for entry in closed.percentiles] == [True, True, True, False, False]
    assert any("p99 (needs 368)" in warning for warning in closed.warnings)


def test_server_is_found_by_its_port_and_both_sides_are_measured(closed: LoadResult) -> None:
    assert closed.server is not None
    assert 0 <= closed.server.cpu_cores_mean < 1
    assert 5 < closed.server.memory_mib_max < 200
    assert closed.generator.cpu_cores_mean > 0
    assert closed.generator.memory_mib_max > 20
    assert closed.generator.samples >= 2


def test_a_closed_loop_warns_of_what_it_hides(closed: LoadResult) -> None:
    assert any("closed loop hides queueing" in warning for warning in closed.warnings)


def test_a_result_survives_its_file(closed: LoadResult, tmp_path: Path) -> None:
    write_record(tmp_path / "result.json", closed)
    assert read_record(tmp_path / "result.json", LoadResult) == closed
    assert closed.spec.payload_bytes == 8
    assert closed.spec.content_type == "application/octet-stream"


def test_an_open_loop_sends_exactly_its_schedule_from_the_cores_it_was_given(tmp_path: Path) -> None:
    spec = {"rate_rps": 200.0, "seed": 7, "warmup_s": 0.5, "duration_s": 2.0}
    core = usable_cores()[-1]
    seen: list[LoadProgress] = []

    def look(progress: LoadProgress) -> None:
        if progress.seconds_left > 0:  # else the generator may be gone already
            generator = next(p for p in psutil.Process().children() if "locust" in p.cmdline())
            assert os.sched_getaffinity(generator.pid) == {core}
        seen.append(progress)

    with stub_server(tmp_path, "--service-ms", "100") as server:
        result = run.run_load(
            LoadSpec.model_validate({"url": server.url, **spec}),
            PAYLOAD,
            workers=Workers(cpus=(core,)),
            on_progress=look,
        )
    due_s = [due for due in takewhile(lambda due: due < 2.5, poisson_arrivals(200, 7)) if due >= 0.5]
    assert result.samples + result.errors == len(due_s)
    assert result.errors == 0
    assert result.throughput_rps.value == pytest.approx(200, rel=0.25)
    # 20 requests are under way at any time: a pool that stayed at 8 would fall behind by more than a second.
    assert result.lateness_p99_ms is not None
    assert result.lateness_p99_ms < 800
    assert sum(point.requests for point in result.timeline if not point.warmup) <= len(due_s)
    assert not any("did not keep up" in warning for warning in result.warnings)
    assert [progress.warmup for progress in seen] == [False] * 3
    assert seen[-1].seconds_left == 0
    assert seen[-1].requests >= len(due_s) * 0.9


def test_an_open_loop_sees_a_stall_in_every_request_that_was_due(
    side_by_side: dict[str, Future[LoadResult]],
) -> None:
    result = side_by_side["open"].result()
    p99_ms = result.percentile_ms(99.0)
    assert result.samples == pytest.approx(500, abs=90)
    assert p99_ms is not None
    assert p99_ms > 850
    # With eight connections nearly all of them waited in the generator: that counts too.
    assert any("all 8 connections were busy" in warning for warning in result.warnings)
    # Arrivals of the first half of the stall wait for more than half a second: about 100.
    assert 65 <= over(result, 500) <= 150


def test_a_closed_loop_sees_the_same_stall_in_one_sample(
    side_by_side: dict[str, Future[LoadResult]],
) -> None:
    result = side_by_side["closed"].result()
    assert over(result, 500) == 1
    assert result.max_ms is not None
    assert result.max_ms > 950
    p90_ms = result.percentile_ms(90.0)
    assert p90_ms is not None
    assert p90_ms < 200


def test_the_warm_up_is_left_out(side_by_side: dict[str, Future[LoadResult]]) -> None:
    result = side_by_side["warmup"].result()
    first = result.timeline[0]
    assert first.warmup
    assert first.p50_ms is not None
    assert first.p50_ms >= 200
    p50_ms = result.percentile_ms(50.0)
    assert p50_ms is not None
    assert p50_ms < 100
    assert result.samples > 30


def test_failures_are_grouped_counted_and_kept_out_of_the_latencies(
    side_by_side: dict[str, Future[LoadResult]],
) -> None:
    result = side_by_side["failures"].result()
    counts = {(group.status, group.message[:20]): group.count for group in result.error_groups}
    # One user goes through the cycle ok, 500, nothing, 307, half an answer, 500: 5 of 6 fail.
    assert counts[(500, "this is a fail")] == pytest.approx(2 * result.samples, abs=2)
    assert counts[(307, "it leads to http://1")] == pytest.approx(result.samples, abs=1)
    assert counts[(None, "no whole answer with")] == pytest.approx(result.samples, abs=1)
    assert len(counts) == 4
    ways = {one.outcome: one for one in result.outcomes}
    assert ways["200"].count == result.samples
    assert ways["500"].count == counts[(500, "this is a fail")]
    assert ways["timeout"].latency.p50_ms >= 250
    assert sum(one.count for one in ways.values()) == result.samples + result.errors
    assert sum(counts.values()) == result.errors
    assert result.error_rate == pytest.approx(5 / 6, abs=0.05)
    assert result.error_rate == result.errors / (result.errors + result.samples)
    assert result.samples >= 3
    assert result.max_ms is not None
    assert result.max_ms < 250
    assert any("successful ones only" in warning for warning in result.warnings)


def test_an_endpoint_that_never_succeeds_says_its_first_failure(tmp_path: Path) -> None:
    with (
        stub_server(tmp_path, "--cycle", "reject", "--service-ms", "0") as server,
        pytest.raises(LoadTestError, match="failed with: HTTP 400: this is a reject"),
    ):
        load(server, users=1, warmup_s=0, duration_s=60)


def test_an_interrupt_ends_locust_at_once(tmp_path: Path) -> None:
    def interrupt(_: LoadProgress) -> None:
        raise KeyboardInterrupt

    with stub_server(tmp_path) as server:
        spec = LoadSpec(url=server.url, users=1, warmup_s=0, duration_s=60)
        with pytest.raises(KeyboardInterrupt):
            run.run_load(spec, PAYLOAD, on_progress=interrupt)
        assert [child.pid for child in psutil.Process().children()] == [server.pid]


def test_nothing_listening_is_said_at_once() -> None:
    port = free_port()
    with pytest.raises(LoadTestError, match=f"cannot connect to 127.0.0.1:{port}: Connection refused"):
        run.run_load(LoadSpec(url=f"http://127.0.0.1:{port}", users=1), PAYLOAD)


@pytest.mark.parametrize(
    "fields",
    [{}, {"users": 1, "rate_rps": 5}, {"users": 0}, {"rate_rps": 0}, {"users": 1, "timeout_s": 1e6}],
)
def test_a_spec_that_cannot_be_run_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        load(Running("http://127.0.0.1:1", 0), **fields)


def test_locusts_last_lines_are_in_the_message_when_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no such luck')")
    monkeypatch.setattr(fleet, "LOCUSTFILE", broken)
    with (
        stub_server(tmp_path) as server,
        pytest.raises(LoadTestError, match=r"(?s)ended early.*no such luck"),
    ):
        load(server, users=1)


def test_a_server_that_dies_under_load_is_an_error_and_no_result(tmp_path: Path) -> None:
    with stub_server(tmp_path, "--service-ms", "20") as server:
        killer = Timer(3.0, os.kill, (server.pid, signal.SIGKILL))
        killer.start()
        try:
            with pytest.raises(LoadTestError, match=rf"process {server.pid}\) ended during the load test"):
                load(server, users=1, warmup_s=0.1, duration_s=4)
        finally:
            killer.cancel()


def test_an_open_loop_that_may_last_longer_loses_no_request(tmp_path: Path) -> None:
    with stub_server(tmp_path, "--service-ms", "5") as server:
        # Eight arrivals are held ahead: at this rate they reach beyond the end of the window.
        result = load(server, rate_rps=10, min_samples=6, duration_s=1, max_duration_s=20, timeout_s=5)
    assert result.samples >= 3
    assert not [warning for warning in result.warnings if "got lost" in warning]
    assert not [reason for reason in result.invalid_reasons if "never came to an end" in reason]
