"""Many gates in one command: a machine's self-test, and the first bad one of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.gate.cli import gate_command
from modeldyno.gate.limits import read_limits
from modeldyno.gate.live.spread import KnownSpread, keep_spread, known_spread, spread_file
from modeldyno.gate.options import GateOptions
from modeldyno.gate.self_test import SelfTestRecord, lines, self_test
from modeldyno.trials.compare import plan
from tests.gate.live.servers import body, sleeper


@pytest.fixture(autouse=True)
def short_blocks_and_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan, "SHORTEST_BLOCK_S", 0.1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def refused(*arguments: str) -> str:
    with pytest.raises((ConfigError, click.UsageError)) as raised:
        CliRunner().invoke(gate_command, arguments, standalone_mode=False, catch_exceptions=False)
    return str(raised.value)


def test_what_can_t_be_asked_together() -> None:
    assert "candidate" in refused("--baseline", "a")
    assert "one at a time" in refused("--bisect", "a..b", "--self-test", "3")
    assert "bisect" in refused("--baseline", "a", "--bisect", "a..b")
    assert "self_test" in refused("--baseline", "a", "--candidate", "b", "--self-test", "3")
    assert "for `bisect`" in refused("--baseline", "a", "--candidate", "b", "--build", "make")
    assert "GOOD..BAD" in refused("--bisect", "a")
    assert "standard output" in refused("--baseline", "a", "--candidate", "b", "--json", "--junit", "-")


def test_what_starts_differ_by_is_the_floor_of_later_gates() -> None:
    assert known_spread() is None
    assert read_limits((), (), known_spread()).measured["p50_ms"].floor == 0.025
    keep_spread(KnownSpread(created_at="2026-11-30", sd=0.02, freedoms=9, host=host_facts()))
    assert known_spread() == 0.02
    assert read_limits((), (), known_spread()).measured["p50_ms"].floor == 0.04
    spread_file(host_facts()).write_text("{")
    assert known_spread() is None


def test_a_self_test_in_words() -> None:
    record = SelfTestRecord(
        created_at="2026-11-30",
        reference="main",
        digest="0",
        comparisons=30,
        alarms=1,
        inconclusive=2,
        alarm_rate=1 / 30,
        alarm_low=0.0008,
        alarm_high=0.172,
        between_starts=0.004,
        starts=60,
        smallest_found=0.036,
        median_s=21.0,
        host=host_facts(),
    )
    said = "\n".join(lines(record))
    assert "false alarms: 1 in 30 comparisons of main with itself: 3.33 % (0.08 to 17)" in said
    assert "less than 0.8 % is no regression here" in said
    assert "a regression of 3.6 % is found" in said


@pytest.mark.slow
def test_a_self_test_goes_on_where_it_ended(tmp_path: Path) -> None:
    ours = sleeper(tmp_path / "a", 0.004)
    options = GateOptions(
        baseline=str(ours), payload=body(tmp_path), budget_s=30.0, output=tmp_path / "out", self_test=2
    )
    first = self_test(options)
    assert first.comparisons == 2
    assert first.starts >= 2
    assert first.alarm_low <= first.alarm_rate <= first.alarm_high
    assert known_spread() == first.between_starts
    told: list[str] = []
    again = self_test(replace(options), told.append)
    assert (again.alarms, again.starts, again.median_s) == (first.alarms, first.starts, first.median_s)
    assert not any(each.startswith("1:") for each in told)


@pytest.mark.slow
def test_the_first_bad_revision_is_named(tmp_path: Path) -> None:
    for name, sleep_s in (("r1", 0.003), ("r2", 0.003), ("r3", 0.009), ("r4", 0.009)):
        sleeper(tmp_path / name, sleep_s)
    (tmp_path / "r2" / "words.txt").write_text("another digest")
    (tmp_path / "r4" / "words.txt").write_text("another digest")
    arguments = ["--bisect", "r1..r4", "--revisions", "printf 'r2\\nr3\\nr4\\n'"]
    arguments += ["--build", f"echo {tmp_path}/{{rev}}", "--payload", body(tmp_path), "--budget", "40s"]
    arguments += ["--max-regression", "p50_ms=60%"]
    done = CliRunner().invoke(gate_command, [*arguments, "-o", str(tmp_path / "out")], standalone_mode=False)
    assert done.exception is None, done.output
    assert "r3 is the first that is slower than allowed" in done.output
    assert done.return_value == 0
    assert (tmp_path / "out" / "steps" / "01" / "gate.json").exists()


def test_the_gate_is_a_function_of_the_package() -> None:
    import modeldyno
    from modeldyno.gate.run import gate

    assert modeldyno.judge is gate
    assert modeldyno.GateOptions is GateOptions
