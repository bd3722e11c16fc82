from __future__ import annotations

import csv
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modeldyno.base.command.cli import SUMMARIES
from modeldyno.base.errors import ConfigError, LoadTestError
from modeldyno.base.process.procs import free_port, python_module
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.record import read_record
from modeldyno.loadgen.cli import load_command
from tests.loadgen.stub import stub_server


def invoke(*args: str) -> Result:
    return CliRunner().invoke(load_command, args)


@dataclass(frozen=True)
class Done:
    url: str
    output: Path
    samples: Path
    table: subprocess.CompletedProcess[str]
    json: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Two commands, at the same time: one for a person, one for a machine."""
    folder = tmp_path_factory.mktemp("load")
    body, output = folder / "body.bin", folder / "out" / "result.json"
    body.write_bytes(b"1234")
    with stub_server(folder) as server, ThreadPoolExecutor() as threads:
        samples = ("--samples", str(folder / "samples.csv"))
        closed = ("--warmup", "0.2", "--duration", "1", "--output", str(output), *samples)
        table = threads.submit(dyno_load, server.url.removesuffix("/invocations"), *closed)
        opened = ("--rate", "50", "--arrival", "constant", "--warmup", "0", "--duration", "1")
        as_json = dyno_load(server.url, *opened, "--payload", str(body), "--json")
    return Done(server.url, output, folder / "samples.csv", table.result(), as_json)


def dyno_load(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python_module("modeldyno", "load", *args), capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_prints_a_table_and_writes_the_result(done: Done) -> None:
    assert done.table.returncode == 0, done.table.stderr
    result = read_record(done.output, LoadResult)
    lines = done.table.stdout.splitlines()
    rows = {line.split()[0]: line for line in lines if line.startswith("p")}
    assert rows["p50"].split()[-1] == str(result.samples)
    shown = float(rows["p50"].split()[1])
    assert shown == pytest.approx(result.percentile_ms(50.0), rel=1e-3)
    assert "needs 3688 samples" in rows["p99.9"]
    assert "closed loop, 1 user, 1 s after 0.2 s of warm-up" in lines[0]
    assert any(line.startswith(f"errors      0 of {result.samples}") for line in lines)
    assert "req/s, p50" in done.table.stderr
    rows_of_window = [
        row for row in csv.DictReader(done.samples.read_text().splitlines()) if row["in_window"] == "True"
    ]
    assert len(rows_of_window) == result.samples
    assert result.spec.url == done.url
    assert result.spec.content_type == "application/x-npy"


def test_json_goes_to_stdout_alone(done: Done) -> None:
    result = LoadResult.model_validate(json.loads(done.json.stdout))
    assert result.spec.arrival == "constant"
    assert result.samples == 50


def test_connection_refused_is_one_line_and_exit_code_2() -> None:
    done = dyno_load(f"127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot connect to 127.0.0.1:")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "args",
    [
        ("--users", "1", "--rate", "5"),
        ("--users", "0"),
        ("--rate", "nan"),
        ("--duration", "inf"),
        ("--duration", "0"),
        ("--content-type", "a/b"),
        ("--server-pid", "0"),
        ("--users", "1", "--stairs", "steps=2,users=1,seconds=5"),
        ("--phases", "1:0:5", "--duration", "10"),
        ("--stairs", "steps=2,users=1,seconds=5", "--min-samples", "9"),
        ("--rows",),
        ("--phases", "1:0:5", "--stairs", "steps=2,users=1,seconds=5"),
        ("--rate", "5", "--load-shape", "shapes.py:Wave"),
        ("--find-rate", "--limit", "p99_ms=5", "--phases", "1:0:5"),
        ("--scenario", "Server", "--rate", "5"),
        ("--scenario", "SingleStream", "--limit", "p99_ms=5"),
        ("--scenario", "Poisson"),
        ("--users", "2", "--arrival", "constant"),
        ("--rate", "5", "--burstiness", "2"),
        ("--rate", "5", "--precision", "0.1"),
        ("--rate", "5", "--max-duration", "60"),
        ("--find-rate", "--limit", "p99_ms=5", "--min-samples", "9"),
        ("--find-rate", "--limit", "p99_ms=5", "--strict"),
        ("--max-in-flight", "5"),
        ("--stairs", "steps=2,users=1,seconds=5", "--limit", "p50_ms=5"),
        ("--find-rate",),
    ],
)
def test_wrong_flags_are_usage_errors(args: tuple[str, ...]) -> None:
    done = invoke("localhost:1", *args)
    assert done.exit_code == 2
    assert "Usage" in done.output


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--phases", "1:2"), "USERS:PER_MINUTE:SECONDS"),
        (("--stairs", "5"), "steps=N,users=N,seconds=S"),
        (("--load-shape", "none.py:Wave"), "there is no file none.py"),
        (("--stop-when", "p99<5ms"), "stop rule 'p99<5ms'"),
        (("--scenario", "SingleStream", "--users", "3"), "one query at a time"),
        (("--scenario", "Server", "--rate", "5", "--limit", "p50_ms=5"), "its latency bound"),
    ],
)
def test_a_load_that_cannot_be_is_told_before_anything_is_started(args: tuple[str, ...], told: str) -> None:
    done = invoke("localhost:1", *args)
    assert isinstance(done.exception, ConfigError)
    assert told in str(done.exception)


@pytest.mark.parametrize("cores", ["a", "0-1", "9999", ""])
def test_cores_that_cannot_be_used_are_named(cores: str) -> None:
    done = invoke("localhost:1", "--cpus", cores)
    assert isinstance(done.exception, ConfigError)


def test_a_missing_payload_is_said_before_anything_is_started(tmp_path: Path) -> None:
    done = invoke("localhost:1", "--payload", str(tmp_path / "no.npy"))
    assert isinstance(done.exception, ConfigError)


def test_an_endpoint_without_a_signature_asks_for_a_payload(tmp_path: Path) -> None:
    with stub_server(tmp_path) as server:
        done = invoke(server.url.replace("/invocations", "/other/invocations"))
    assert isinstance(done.exception, LoadTestError)
    assert "`payload`" in str(done.exception)


def test_the_summary_is_the_one_in_the_list_of_commands() -> None:
    assert load_command.get_short_help_str(limit=200) == SUMMARIES["load"]


def test_a_recorded_trace_is_replayed_at_its_own_rate(tmp_path: Path) -> None:
    trace, output = tmp_path / "trace.csv", tmp_path / "result.json"
    trace.write_text("time_s\n" + "".join(f"{5 + number / 40}\n" for number in range(30)))
    with stub_server(tmp_path) as server:
        command = ("--trace", str(trace), "--warmup", "0", "--duration", "0.99", "-o", str(output))
        table = dyno_load(server.url, *command)
    assert table.returncode == 0, table.stderr
    assert "open loop, 40 req/s (trace trace.csv)" in table.stdout
    assert read_record(output, LoadResult).samples == 40


def test_a_trace_and_users_go_against_each_other(tmp_path: Path) -> None:
    done = invoke("http://127.0.0.1:1", "--trace", str(tmp_path / "t"), "--users", "2")
    assert done.exit_code == 2
    assert "--rate or --trace an open one" in done.output


def test_strict_exits_3_when_the_generator_could_not_keep_up(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = ("requests were sent late: 99th percentile 9 ms",)
    void = read_record(done.output, LoadResult).model_copy(update={"invalid_reasons": late})
    monkeypatch.setattr("modeldyno.loadgen.run.run_load", lambda *_, **__: void)
    command = [done.url, "--payload", str(done.output), "--content-type", "text/plain"]
    runs = [
        CliRunner().invoke(load_command, [*command, *flags], standalone_mode=False)
        for flags in ([], ["--strict"])
    ]
    assert [run.return_value for run in runs] == [0, 3]
    assert all("INVALID: requests were sent late" in run.output for run in runs)
