"""Real Locust masters and workers against a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

import numpy as np
import psutil
import pytest

from modeldyno.base.errors import ConfigError, LoadTestError
from modeldyno.base.process.procs import free_port, python_module, start
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import read_record
from modeldyno.loadgen.generator.fleet import Workers, parse_address
from modeldyno.loadgen.generator.fleet import _received as received
from modeldyno.loadgen.generator.messages import pack_folder, unpack_folder
from modeldyno.loadgen.generator.progress import LoadProgress
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Kind, Mix
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.spec.arrivals import poisson_arrivals
from modeldyno.loadgen.spec.stages import parse_phases, parse_stairs
from tests.loadgen.stub import PAYLOAD, stub_server
from tests.loadgen.test_locustfile import alive, until
from tests.loadgen.test_stages import users

MIX = Mix(
    (Kind("small", 3.0, (Payload(b"1", "text/plain"),)), Kind("large", 1.0, (Payload(b"22", "text/plain"),)))
)


def load(url: str, workers: int, sent: Payload | Mix = PAYLOAD, **fields: object) -> LoadResult:
    spec = LoadSpec.model_validate({"url": url, **fields})
    return run_load(spec, sent, workers=Workers(workers))


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[LoadResult]]:
    """Runs whose claims stand whatever else the machine does, at the same time."""

    def one(
        workers: int, args: tuple[str, ...] = (), sent: Payload | Mix = PAYLOAD, **fields: object
    ) -> LoadResult:
        with stub_server(tmp_path_factory.mktemp("stub"), *args) as server:
            return load(server.url, workers, sent, **fields)

    cycle, slow = ("--cycle", "ok,fail", "--service-ms", "20"), ("--service-ms", "20")
    with ThreadPoolExecutor(7) as threads:
        return {
            "open": threads.submit(one, 3, rate_rps=90, seed=5, warmup_s=0.5, duration_s=2.5),
            "closed": threads.submit(
                one, 2, cycle, users=2, warmup_s=0, duration_s=0.5, min_samples=40, max_duration_s=20
            ),
            "mix": threads.submit(one, 2, slow, MIX, users=2, warmup_s=0, duration_s=2),
            "stairs": threads.submit(
                one, 2, slow, stairs=parse_stairs("steps=2,users=3,seconds=3"), warmup_s=0.5
            ),
            "phases": threads.submit(one, 2, slow, phases=parse_phases("5:0:2,1:60:3"), warmup_s=0.5),
            "ruled": threads.submit(
                one, 2, slow, users=4, warmup_s=0, duration_s=600, stop_when=("requests>=200",)
            ),
            "ruled open": threads.submit(
                one, 2, slow, rate_rps=16, warmup_s=0, duration_s=600, stop_when=("requests>=30",)
            ),
        }


def test_three_workers_send_exactly_the_schedule_of_one(side_by_side: dict[str, Future[LoadResult]]) -> None:
    result = side_by_side["open"].result()
    due_s = [due for due in takewhile(lambda due: due < 3.0, poisson_arrivals(90, 5)) if due >= 0.5]
    assert result.samples == len(due_s)
    assert sum(worker.requests for worker in result.workers) == len(due_s)
    assert max(worker.requests for worker in result.workers) <= len(due_s) / 3 + 2
    assert len({worker.pid for worker in result.workers}) == 3
    for worker in result.workers:
        assert worker.lateness is not None
        assert worker.lateness.samples == worker.requests
        assert worker.loop_lag is not None
        assert worker.cpu_cores_mean is not None
        assert 0 < worker.cpu_cores_mean < 1


def test_a_closed_loop_of_two_workers_goes_on_until_all_have_samples_enough(
    side_by_side: dict[str, Future[LoadResult]],
) -> None:
    # Two users of a 20 ms server that fails every second time: 50 successes a second at most.
    result = side_by_side["closed"].result()
    assert result.samples >= 40
    assert 0.8 <= result.window_s < 20
    assert [group.status for group in result.error_groups] == [500]
    assert result.error_groups[0].count == pytest.approx(result.samples, abs=3)
    assert min(worker.requests for worker in result.workers) > 0
    assert result.throughput_rps.value == pytest.approx(result.samples / result.window_s, rel=0.1)


def test_each_worker_draws_from_the_mix_of_payloads(side_by_side: dict[str, Future[LoadResult]]) -> None:
    result = side_by_side["mix"].result()
    small, large = result.payload_kinds
    assert (small.name, large.name, small.errors, large.errors) == ("small", "large", 0, 0)
    assert small.samples + large.samples == result.samples
    assert 0 < large.samples < small.samples


def test_workers_share_the_users_of_each_step(side_by_side: dict[str, Future[LoadResult]]) -> None:
    result = side_by_side["stairs"].result()
    assert [stage.spec.users for stage in result.stages] == [3, 6]
    assert [users(stage) for stage in result.stages] == pytest.approx([3, 6], rel=0.1)
    assert [point.users for point in result.timeline][-1] == 6
    assert result.errors == 0
    assert not any("never came to an end" in reason for reason in result.invalid_reasons)


def test_a_worker_may_have_no_user_for_a_while(side_by_side: dict[str, Future[LoadResult]]) -> None:
    result = side_by_side["phases"].result()
    assert users(result.stages[0]) == pytest.approx(5, rel=0.1)
    # Of the second phase 2.7 s count: one user for 0.7 s, then two and three: (0.7 + 2 + 3) / 2.7 on average.
    assert users(result.stages[1]) == pytest.approx(2.1, rel=0.15)


@pytest.mark.parametrize("name", ["ruled", "ruled open"])
def test_a_stop_rule_sees_the_requests_of_all_workers(
    side_by_side: dict[str, Future[LoadResult]], name: str
) -> None:
    result = side_by_side[name].result()
    assert result.stop is not None
    assert result.stop.rule == result.spec.stop_when[0]
    assert result.samples >= (200 if name == "ruled" else 30)
    assert result.window_s < 60
    assert not any("never came to an end" in reason for reason in result.invalid_reasons)
    assert min(worker.requests for worker in result.workers) > 0


def test_a_worker_that_is_killed_voids_the_result_and_hangs_nobody(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(progress: LoadProgress) -> None:
        if not killed and progress.requests:
            family = psutil.Process().children(recursive=True)
            victim = next(process for process in family if "--worker" in process.cmdline())
            killed.append(victim.pid)
            victim.kill()

    spec = LoadSpec(url="", rate_rps=60, warmup_s=0, duration_s=3, timeout_s=5)
    with stub_server(tmp_path) as server:
        result = run_load(
            spec.model_copy(update={"url": server.url}), PAYLOAD, workers=Workers(2), on_progress=kill_one
        )
    assert not result.valid
    reason = result.invalid_reasons[0]
    assert reason.startswith("1 of 2 workers ended or hung during the test, and their requests with them; ")
    assert f"; process {killed[0]} ended by exit status " in reason
    assert len(result.workers) == 1
    assert 60 <= result.samples <= 120  # half of about 180


@pytest.mark.slow
@pytest.mark.parametrize("hung", [1, 2])
def test_workers_that_hang_end_with_the_test(tmp_path: Path, hung: int) -> None:
    family: list[psutil.Process] = []

    def stop_some(progress: LoadProgress) -> None:
        if not family and progress.requests:
            family.extend(psutil.Process().children(recursive=True))
            for worker in [one for one in family if "--worker" in one.cmdline()][:hung]:
                worker.send_signal(signal.SIGSTOP)

    spec = LoadSpec(url="", rate_rps=60, warmup_s=0, duration_s=4, timeout_s=2)
    with stub_server(tmp_path) as server:
        spec = spec.model_copy(update={"url": server.url})
        if hung == 1:
            result = run_load(spec, PAYLOAD, workers=Workers(2), on_progress=stop_some)
            assert "1 of 2 workers ended or hung" in result.invalid_reasons[0]
            assert result.invalid_reasons[0].endswith(" hung")
        else:
            with pytest.raises(LoadTestError, match=r"all 2 workers .*; process \d+ hung; process \d+ hung"):
                run_load(spec, PAYLOAD, workers=Workers(2), on_progress=stop_some)
        workers = [one for one in family if one.pid != server.pid]
    assert len(workers) >= 3
    assert not any(alive(one) for one in workers)


def test_workers_that_hang_before_the_test_begins_are_an_error_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "hanging.py"
    hanging.write_text("import time\ntime.sleep(600)")
    monkeypatch.setattr("modeldyno.loadgen.generator.fleet.LOCUSTFILE", hanging)
    monkeypatch.setattr("modeldyno.loadgen.watch.follow.STARTUP_LIMIT_S", 2.0)
    with (
        stub_server(tmp_path) as server,
        pytest.raises(
            LoadTestError, match="had not begun to load after 6 s: its 2 workers hang, or never came"
        ),
    ):
        load(server.url, 2, users=2)


@pytest.mark.slow
def test_nothing_that_succeeds_ends_a_distributed_test_too(tmp_path: Path) -> None:
    with (
        stub_server(tmp_path, "--cycle", "reject", "--service-ms", "0") as server,
        pytest.raises(LoadTestError, match="failed with: HTTP 400: this is a reject"),
    ):
        load(server.url, 2, users=2, warmup_s=0, duration_s=600)


@pytest.mark.slow
def test_workers_of_another_command_join_by_the_masters_address(tmp_path: Path) -> None:
    address, output = f"127.0.0.1:{free_port()}", tmp_path / "result.json"
    np.save(tmp_path / "body.npy", np.zeros(4, np.float32))
    with stub_server(tmp_path) as server:
        load_args = ("--rate", "40", "--warmup", "0", "--duration", "1.5", "-o", str(output))
        joining = ("--workers", "1", "--expect-workers", "1", "--master-bind", address)
        body = ("--payload", str(tmp_path / "body.npy"))
        with start(python_module("modeldyno", "load-worker", address), log=tmp_path / "worker.log") as worker:
            done = subprocess.run(
                python_module("modeldyno", "load", server.url, *load_args, *joining, *body),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            until(lambda: worker.returncode() is not None)
            assert worker.returncode() == 0, worker.log_tail()
    result = read_record(output, LoadResult)
    assert f"waiting for 1 worker: dyno load-worker {address}" in done.stderr
    assert [worker_usage.worker for worker_usage in result.workers] == [1, 2]
    assert result.samples == sum(1 for _ in takewhile(lambda due: due < 1.5, poisson_arrivals(40, 0)))
    assert "worker 2  " in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_stopping_a_distributed_test_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    np.save(tmp_path / "body.npy", np.zeros(4, np.float32))
    with stub_server(tmp_path) as server:
        command = ("modeldyno", "load", server.url, "--warmup", "0", "--duration", "600", "--rate", "20")
        more = ("--workers", "2", "--payload", str(tmp_path / "body.npy"))
        log, env = tmp_path / "load.log", {"TMPDIR": str(tmp_path)}
        with start(python_module(*command, *more), log=log, env=env) as parent:
            until(lambda: "req/s" in parent.log_tail())
            family = psutil.Process(parent.pid).children(recursive=True)
            assert sum("--worker" in process.cmdline() for process in family) == 2
            os.kill(parent.pid, number)
            until(lambda: parent.returncode() is not None)
            until(lambda: not any(alive(process) for process in family))
            until(lambda: not list(tmp_path.glob("dyno-load-*")))


def test_a_worker_that_never_starts_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no such luck')")
    monkeypatch.setattr("modeldyno.loadgen.generator.fleet.LOCUSTFILE", broken)
    began = time.monotonic()
    with (
        stub_server(tmp_path) as server,
        pytest.raises(LoadTestError, match=r"(?s)ended early.*no such luck"),
    ):
        load(server.url, 2, users=2)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("workers", [Workers(0), Workers(3), Workers(1, remote=1), Workers(500)])
def test_workers_that_cannot_be_are_refused(workers: Workers) -> None:
    with pytest.raises(ConfigError):
        run_load(LoadSpec(url="http://127.0.0.1:1", users=2), PAYLOAD, workers=workers)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"shape": "shapes.py:Wave"}, "a shape of your own is asked by one process: leave out `workers`"),
        (
            {"users": 1, "scenario": "SingleStream"},
            "SingleStream is one stream of queries: leave out `workers`",
        ),
        ({"stairs": parse_stairs("steps=5,users=1,seconds=9")}, "2 workers share 1 users at first"),
    ],
)
def test_what_workers_cannot_share_is_refused(fields: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        load("http://127.0.0.1:1", 2, PAYLOAD, **fields)


def test_an_address_is_a_host_and_perhaps_a_port() -> None:
    assert parse_address("10.0.0.7") == ("10.0.0.7", 5557)
    assert parse_address("10.0.0.7:99") == ("10.0.0.7", 99)
    for wrong in ("", ":5", "a:b", "a:0", "a:70000"):
        with pytest.raises(ConfigError, match="no HOST or HOST:PORT"):
            parse_address(wrong)


def test_a_plan_from_a_master_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "from" / "sub").mkdir(parents=True)
    (tmp_path / "from" / "plan.json").write_bytes(b"{}")
    (tmp_path / "from" / "sub" / "a.bin").write_bytes(b"1")
    (tmp_path / "from" / "kept.txt").write_bytes(b"2")
    files = pack_folder(tmp_path / "from", ["plan.json", "sub", "missing"])
    assert files == {"plan.json": b"{}", "sub/a.bin": b"1"}
    unpack_folder(files, tmp_path / "to")
    assert (tmp_path / "to" / "sub" / "a.bin").read_bytes() == b"1"
    for name in ("../out", "/etc/out", "sub/../../out"):
        with pytest.raises(LoadTestError, match="leads out of the plan"):
            unpack_folder({name: b""}, tmp_path / "to")


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "recording-0.npz"
    for content in (b"", b"PK\x03\x04 not a zip", b"\x80\x04."):
        wrong.write_bytes(content)
        with pytest.raises(LoadTestError, match="no recording"):
            received(wrong)
