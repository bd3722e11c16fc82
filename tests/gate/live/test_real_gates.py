"""Whole gates of real servers with known differences. Blocks are shorter than a user's: effects are large."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from modeldyno.base.errors import ConfigError, LoadTestError, ServerError
from modeldyno.base.records.record import write_record
from modeldyno.gate.cli import gate_command
from modeldyno.gate.live import loads
from modeldyno.gate.options import GateOptions
from modeldyno.gate.run import gate
from modeldyno.trials.compare import plan
from modeldyno.trials.compare.records import BlockRecord
from tests.gate.live.servers import body, sleeper
from tests.gate.made import load_result
from tests.loadgen.stub import stub_server
from tests.recommender.tiny import write_model


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 pairs in a few seconds: blocks of a tenth of a second."""
    monkeypatch.setattr(plan, "SHORTEST_BLOCK_S", 0.1)


def options(folder: Path, **changed: Any) -> GateOptions:
    given = GateOptions(
        baseline="", candidate="", payload=body(folder), output=folder / "out", budget_s=30.0, workers=1
    )
    return replace(given, **changed)


@pytest.mark.usefixtures("short_blocks")
def test_a_candidate_that_sleeps_longer_is_a_regression(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.003), sleeper(tmp_path / "b", 0.007)
    told: list[str] = []
    record = gate(str(ours), str(theirs), options(tmp_path, budget_s=24.0), tell=told.append)
    assert (record.verdict, record.exit_code) == ("regression", 1), record.headline
    p50 = record.metrics[0]
    assert p50.metric == "p50_ms"
    assert p50.change is not None
    assert 0.3 < p50.change < 2
    assert p50.change_low is not None
    assert p50.change_low > 0
    assert p50.pairs >= 24
    assert record.baseline.requests > 0
    assert record.baseline.memory_mib is not None
    assert record.outputs is not None
    assert record.outputs.same
    assert {each.metric for each in record.metrics if each.exact} == {"error_rate", "artifact_bytes"}
    assert "no kernel is named" in record.warnings[-1].text
    assert "--budget=24.0" in record.command
    assert set(record.histograms) == {"baseline", "candidate"}
    assert any("pairs" in each for each in told)
    lines = (tmp_path / "out" / "blocks.jsonl").read_text().splitlines()
    blocks = [BlockRecord.model_validate_json(line) for line in lines]
    assert {block.candidate for block in blocks} == {"baseline latency", "candidate latency"}
    assert json.loads((tmp_path / "out" / "gate.json").read_text())["verdict"] == "regression"
    assert not [child for child in psutil.Process().children() if "serve" in " ".join(child.cmdline())]


@pytest.mark.slow
@pytest.mark.usefixtures("short_blocks")
def test_of_urls_a_regression_is_not_said_unless_they_are_trusted(tmp_path: Path) -> None:
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
    with (
        stub_server(tmp_path / "a", "--service-ms", "4") as ours,
        stub_server(tmp_path / "b", "--service-ms", "9") as theirs,
    ):
        given = options(tmp_path, budget_s=18.0, max_regression=("throughput_rps=5%",))
        record = gate(ours.url, theirs.url, given)
    found = {each.metric: each.verdict for each in record.metrics}
    assert found == {"throughput_rps": "regression", "error_rate": "pass"}
    assert (record.verdict, record.exit_code) == ("inconclusive", 3)
    assert record.load.cpus == ()
    assert any(each.rank == "weak" and "elsewhere" in each.text for each in record.warnings)


def test_a_candidate_that_dies_half_way_is_named(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.005), sleeper(tmp_path / "b", 0.005, dies_at=300)
    with pytest.raises(ServerError, match="the candidate ended while it was measured") as raised:
        gate(str(ours), str(theirs), options(tmp_path))
    assert raised.value.exit_code == 2
    assert (tmp_path / "out" / "blocks.jsonl").read_text()
    assert not (tmp_path / "out" / "gate.json").exists()


@pytest.mark.slow
def test_a_side_that_only_fails_is_named(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.001), sleeper(tmp_path / "b", 0.001, failing=10)
    with pytest.raises(LoadTestError, match=r"the candidate: no request was answered.*on purpose"):
        gate(str(ours), str(theirs), options(tmp_path))


def test_a_budget_that_is_too_small_says_what_would_do(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.001), sleeper(tmp_path / "b", 0.002)
    with pytest.raises(ConfigError, match=r"too small for any verdict: 24 pairs.*`budget_s=\d+` would do"):
        gate(str(ours), str(theirs), options(tmp_path, budget_s=5.0))
    with pytest.raises(ConfigError, match="24 pairs") as raised:
        gate(str(ours), str(theirs), options(tmp_path, budget_s=100.0, rate_rps=20.0))
    assert raised.value.field == "budget_s"


@pytest.mark.slow
def test_slow_sides_are_refused_before_they_are_compared(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.3), sleeper(tmp_path / "b", 0.301)
    with pytest.raises(ConfigError, match="the start of both sides took") as raised:
        gate(str(ours), str(theirs), options(tmp_path))
    assert raised.value.hint is not None
    assert not (tmp_path / "out" / "blocks.jsonl").read_text()


def test_what_is_no_gate(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.onnx")
    ours = sleeper(tmp_path / "a", 0.001)
    for changed, words in (
        ({"max_regression": ("p5_ms=5%",)}, "p50_ms"),
        ({"max_regression": ("p50_ms=5",)}, "share"),
        ({"ignore_below": ("p50_ms=6%",)}, "not below"),
        ({"rate_rps": 10.0, "max_regression": ("throughput_rps=5%",)}, "throughput_rps"),
        ({"rate_rps": 10.0, "users": 2}, "users"),
    ):
        with pytest.raises(ConfigError, match=words):
            gate(str(model), str(ours), options(tmp_path, **changed))
    given = options(tmp_path, max_regression=("cpu_ms_per_request=5%",))
    with pytest.raises(ConfigError, match="CPU time of servers that run elsewhere can"):
        gate("http://127.0.0.1:9", "http://127.0.0.1:8", given)
    with pytest.raises(ConfigError, match="only one of them is a URL"):
        gate(str(model), "http://127.0.0.1:9", options(tmp_path))


def test_sides_that_are_the_same_pass_at_once(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.001), sleeper(tmp_path / "b", 0.001)
    record = gate(str(ours), str(theirs), options(tmp_path))
    assert (record.verdict, record.measured, record.exit_code) == ("pass", False, 0)
    assert record.seconds < 10


def test_exact_rules_alone_start_no_server(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.001), sleeper(tmp_path / "b", 0.001)
    (theirs / "more.bin").write_bytes(bytes(10_000))
    record = gate(str(ours), str(theirs), options(tmp_path, max_regression=("artifact_bytes=1%",)))
    assert (record.verdict, record.exit_code, record.measured) == ("regression", 1, False)
    assert "over the limit of 1 %" in record.headline
    assert not (tmp_path / "out" / "logs").exists()
    allowed = gate(str(theirs), str(ours), options(tmp_path, max_regression=("artifact_bytes=1%",)))
    assert (allowed.verdict, allowed.exit_code) == ("pass", 0)


def test_a_gate_that_can_t_run_is_in_the_test_results(tmp_path: Path) -> None:
    broken = tmp_path / "b"
    broken.mkdir()
    (broken / "inference.py").write_text("def model_fn(folder): raise RuntimeError('no weights')")
    arguments = ["--baseline", str(sleeper(tmp_path / "a", 0.001)), "--candidate", str(broken)]
    arguments += ["--payload", body(tmp_path), "-o", str(tmp_path / "out"), "--budget", "30s"]
    junit = tmp_path / "gate.xml"
    done = CliRunner().invoke(gate_command, [*arguments, "--junit", str(junit)], standalone_mode=False)
    assert isinstance(done.exception, ServerError), done.output
    assert "the candidate: " in str(done.exception)
    assert "<error" in junit.read_text()


@pytest.mark.slow
def test_the_same_measured_by_force_passes(tmp_path: Path) -> None:
    ours = sleeper(tmp_path / "a", 0.010)
    record = gate(str(ours), str(ours), options(tmp_path, force=True, budget_s=60.0))
    assert record.measured
    assert record.verdict in ("pass", "inconclusive"), record.headline
    assert any("the same to the last byte" in each.text for each in record.warnings)


@pytest.mark.slow
def test_a_candidate_that_sleeps_less_is_an_improvement(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.016), sleeper(tmp_path / "b", 0.010)
    record = gate(str(ours), str(theirs), options(tmp_path, budget_s=45.0))
    assert (record.verdict, record.exit_code) == ("improvement", 0), record.headline


@pytest.mark.slow
def test_requests_that_fail_on_one_side_alone(tmp_path: Path) -> None:
    ours, theirs = sleeper(tmp_path / "a", 0.010), sleeper(tmp_path / "b", 0.010, failing=2)
    record = gate(str(ours), str(theirs), options(tmp_path, budget_s=45.0))
    assert record.candidate.errors > 0
    failed = next(each for each in record.metrics if each.metric == "error_rate")
    assert (failed.verdict, record.verdict, record.exit_code) == ("regression", "regression", 1)
    assert not any(each.rank == "void" for each in record.warnings)


def test_a_saved_run_against_another_can_only_warn(tmp_path: Path) -> None:
    for name, p50_ms in (("before", (10.0, 9.9, 10.1)), ("now", (12.0, 11.9, 12.1))):
        write_record(tmp_path / f"{name}.json", load_result(p50_ms=p50_ms))
    record = gate(str(tmp_path / "before.json"), str(tmp_path / "now.json"), options(tmp_path))
    assert (record.verdict, record.exit_code) == ("inconclusive", 3)
    assert "slower by 20.0 %" in record.metrics[0].text
    with pytest.raises(ConfigError, match="numbers alone"):
        gate(str(sleeper(tmp_path / "a", 0.001)), str(tmp_path / "now.json"), options(tmp_path))


@pytest.mark.slow
def test_a_saved_run_against_what_runs_now(tmp_path: Path) -> None:
    write_record(tmp_path / "before.json", load_result())
    ours = sleeper(tmp_path / "a", 0.002)
    record = gate(str(tmp_path / "before.json"), str(ours), options(tmp_path, budget_s=6.0))
    assert (record.verdict, record.exit_code) == ("inconclusive", 3)
    assert record.warnings


@pytest.mark.slow
def test_latency_at_a_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "SHORTEST_WINDOW_S", 0.7)
    ours, theirs = sleeper(tmp_path / "a", 0.003), sleeper(tmp_path / "b", 0.008)
    given = options(tmp_path, rate_rps=40.0, budget_s=240.0, max_regression=("p50_ms=5%", "p95_ms=10%"))
    record = gate(str(ours), str(theirs), given)
    assert (record.metrics[0].metric, record.metrics[0].verdict) == ("p50_ms", "regression")
    assert record.metrics[1].metric == "p95_ms"
    assert (record.load.users, record.load.rate_rps) == (None, 40.0)
    assert record.exit_code == 1
