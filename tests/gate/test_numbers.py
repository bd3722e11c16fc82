"""Numbers of a saved run: what they may be compared with, and that they never make a regression."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.gate import GateLoad, GateMetric, GateRecord, GateSide
from modeldyno.base.records.record import HostFacts, write_record
from modeldyno.gate.content.saved import SavedRun, read_saved, saved_of_load
from modeldyno.gate.exact.saved_numbers import compare_numbers, numbers_against
from tests.gate.made import load_result

HOST = host_facts()


def run(**changed: Any) -> SavedRun:
    return saved_of_load(load_result(**changed))


def host(**changed: object) -> HostFacts:
    return HOST.model_copy(update=changed)


def compared(now: SavedRun, before: SavedRun | None = None, limit: float = 0.05) -> dict[str, GateMetric]:
    saved = before or run()
    against = numbers_against(saved, now.host, now.load)
    return {each.metric: each for each in compare_numbers(saved, now, {"p50_ms": limit}, against)}


def test_the_same_machine_software_and_load_may_pass_and_stay_weak() -> None:
    found = numbers_against(run(), HOST, run().load)
    assert (found.comparable, found.can_pass) == (True, True)
    assert found.warning.rank == "weak"
    assert "at another time" in found.warning.text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cpu_model": "Other"}, "another machine: cpu_model Other, now"),
        ({"usable_cores": 99}, "another machine: usable_cores 99"),
        ({"instance_type": "c7i.large"}, "another machine: instance_type c7i.large, now none"),
        ({"kernel": "5.0"}, "other software: kernel 5.0"),
        ({"packages": {**HOST.packages, "onnxruntime": "0.1"}}, "other software: onnxruntime 0.1"),
    ],
)
def test_another_machine_and_other_versions_can_only_warn(changed: dict[str, object], said: str) -> None:
    saved = run(host=host(**changed))
    found = numbers_against(saved, HOST, saved.load)
    assert (found.comparable, found.can_pass, found.warning.rank) == (True, False, "weak")
    assert said in found.warning.text
    assert compared(run(), saved)["p50_ms"].verdict == "inconclusive"


def test_another_load_is_void() -> None:
    found = numbers_against(run(users=4), HOST, run().load)
    assert (found.comparable, found.warning.rank) == (False, "void")
    assert "loaded otherwise: users 4, now 1" in found.warning.text


def test_memory_and_packages_that_no_server_uses_do_not_matter() -> None:
    other = host(memory_gib=1.0, packages={**HOST.packages, "locust": "0"})
    assert numbers_against(run(host=other), HOST).can_pass


def test_the_interval_of_the_ratio_is_made_of_both() -> None:
    found = compared(run(p50_ms=(10.2, 10.2 / 1.01, 10.2 * 1.01)), run(p50_ms=(10.0, 10 / 1.01, 10 * 1.01)))
    half = math.sqrt(2) * math.log(1.01)
    row = found["p50_ms"]
    assert row.change == pytest.approx(0.02)
    assert row.change_low == pytest.approx(math.exp(math.log(1.02) - half) - 1)
    assert row.change_high == pytest.approx(math.exp(math.log(1.02) + half) - 1)
    assert (row.verdict, row.text) == (
        "pass",
        "slower by 2.0 % (0.6 to 3.4) than the saved run, under the limit of 5 %",
    )


def test_fewer_requests_are_worse_and_what_is_not_limited_is_shown() -> None:
    row = compared(run(throughput_rps=(80, 79, 81)))["throughput_rps"]
    assert row.change == pytest.approx(0.2)
    assert row.verdict == "pass"
    assert row.text.startswith("less by 20.0 % (")
    assert row.text.endswith("; shown, not limited")
    better = compared(run(throughput_rps=(120, 119, 121)))["throughput_rps"]
    assert better.text.startswith("more by 20.0 % (18.")


def test_twice_as_slow_is_no_regression_by_numbers_alone() -> None:
    row = compared(run(p50_ms=(20.0, 19.9, 20.1)))["p50_ms"]
    assert row.verdict == "inconclusive"
    assert row.text.startswith("slower by 100.0 % (")
    assert "do not decide the limit of 5 %" in row.text


def test_a_gates_numbers_have_no_intervals_and_decide_nothing(tmp_path: Path) -> None:
    side = GateSide(reference="a", kind="model", digest="d")
    metric = GateMetric(metric="p50_ms", verdict="pass", text="", candidate=10.0)
    exact = GateMetric(metric="artifact_bytes", exact=True, verdict="pass", text="", candidate=1.0)
    record = GateRecord(
        created_at="2026-11-30T12:00:00+00:00",
        verdict="pass",
        exit_code=0,
        headline="pass",
        baseline=side,
        candidate=side,
        load=GateLoad(users=1, payload="drawn", budget_s=60, alpha=0.01, seed=0),
        metrics=(metric, exact),
        seconds=60,
        host=HOST,
    )
    write_record(tmp_path / "gate.json", record)
    saved = read_saved(tmp_path / "gate.json")
    assert list(saved.figures) == ["p50_ms"]
    row = compared(run(), saved)["p50_ms"]
    assert (row.change, row.change_high, row.verdict) == (0.0, None, "inconclusive")
    assert "(no interval)" in row.text
