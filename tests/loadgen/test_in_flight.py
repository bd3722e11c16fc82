"""Requests in flight: how many there may be, and that a test that meets the bound is void."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from modeldyno.base.errors import ConfigError
from modeldyno.base.process.procs import python_module
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.cli import load_command
from modeldyno.loadgen.generator.fleet import Workers
from modeldyno.loadgen.generator.in_flight import with_bound
from modeldyno.loadgen.generator.open_files import RESERVED_FILES
from modeldyno.loadgen.generator.run_plan import MAX_POOL
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import single
from modeldyno.loadgen.run import run_load
from modeldyno.recommender.job.job import Job
from tests.loadgen.stub import PAYLOAD, stub_server

OPEN = LoadSpec(url="http://127.0.0.1:1/invocations", rate_rps=10)


def reasons(found: tuple[str, ...]) -> list[str]:
    return [reason for reason in found if "bound on requests in flight" in reason]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_test_that_meets_the_bound_is_void_and_tells_what_the_server_took(
    tmp_path: Path, workers: int
) -> None:
    with stub_server(tmp_path, "--service-ms", "400") as server:
        spec = LoadSpec(
            url=server.url, rate_rps=100, arrival="constant", warmup_s=0.5, duration_s=1, max_in_flight=20
        )
        found = run_load(spec, PAYLOAD, workers=Workers(workers))
    assert found.held_back > 0
    assert "(20) was met" in "".join(reasons(found.invalid_reasons))
    assert not found.valid
    # Counted from the schedule all waited; counted from the send none did.
    whole, sent = found.percentiles[0].ms, found.sent_percentiles[0].ms
    assert whole is not None
    assert sent is not None
    assert 400 <= sent < whole


def test_a_bound_is_filled_in_as_memory_and_open_files_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = single(PAYLOAD), single(Payload(bytes(64 << 20), "application/octet-stream"))
    monkeypatch.setattr("modeldyno.loadgen.generator.in_flight.file_limit", lambda: 1024)
    assert with_bound(OPEN, Workers(1), small, MAX_POOL).max_in_flight == 1024 - RESERVED_FILES
    assert with_bound(OPEN, Workers(3), small, MAX_POOL).max_in_flight == 3 * (1024 - RESERVED_FILES)
    by_memory = with_bound(OPEN, Workers(1), large, MAX_POOL).max_in_flight
    assert by_memory is not None
    assert by_memory < 1000


def test_more_connections_than_files_may_be_open_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modeldyno.loadgen.generator.in_flight.file_limit", lambda: 1024)
    wanted = OPEN.model_copy(update={"max_in_flight": 5000})
    with pytest.raises(ConfigError, match=r"5000 requests in flight .* may open 960: .*ulimit -Hn"):
        with_bound(wanted, Workers(1), single(PAYLOAD), MAX_POOL)
    with pytest.raises(ConfigError, match=r"2000 users need as many connections"):
        with_bound(LoadSpec(url="u", users=2000), Workers(1), single(PAYLOAD), MAX_POOL)
    followed = LoadSpec(url="u", users=500, follow_redirects=True)
    with pytest.raises(ConfigError, match=r"500 users need 2 connections each, .* may open 960"):
        with_bound(followed, Workers(1), single(PAYLOAD), MAX_POOL)


def test_local_ports_are_counted_where_they_are_fewer_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeldyno.loadgen.generator.in_flight.file_limit", lambda: 1 << 20)
    monkeypatch.setattr("modeldyno.loadgen.generator.in_flight.local_ports", lambda: 3000)
    wanted = OPEN.model_copy(update={"max_in_flight": 5000})
    with pytest.raises(ConfigError, match=r"may open 3000: widen net.ipv4.ip_local_port_range"):
        with_bound(wanted, Workers(1), single(PAYLOAD), MAX_POOL)
    assert with_bound(OPEN, Workers(1), single(PAYLOAD), MAX_POOL).max_in_flight == 3000


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed")
def test_users_are_counted_before_a_real_test_begins(tmp_path: Path) -> None:
    (tmp_path / "body.bin").write_bytes(b"1234")
    prlimit = shutil.which("prlimit")
    assert prlimit
    load = ["load", "http://127.0.0.1:9", "--users", "200", "--payload", str(tmp_path / "body.bin")]
    done = subprocess.run(
        [prlimit, "--nofile=128:128", *python_module("modeldyno", *load)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "200 users need as many connections, and the processes here may open 64" in done.stderr


def test_the_bound_is_refused_where_no_open_loop_is(tmp_path: Path) -> None:
    done = CliRunner().invoke(load_command, ["http://127.0.0.1:1", "--users", "2", "--max-in-flight", "5"])
    assert "--max-in-flight bounds an open loop" in done.output
    with pytest.raises(ConfigError, match="max_in_flight bounds an open loop"):
        run_load(LoadSpec(url="http://127.0.0.1:1", users=1, max_in_flight=5), PAYLOAD)
    with pytest.raises(ValueError, match="max_in_flight bounds an open loop"):
        Job.model_validate({"load": {"users": [1], "max_in_flight": 5}})
    (spec,) = Job.model_validate({"load": {"rate_rps": [5], "max_in_flight": 7}}).load.specs("u", 0)
    assert spec.max_in_flight == 7
