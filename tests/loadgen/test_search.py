"""The search for the highest rate: by hand on a made-up server, and for real on one of known service time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from dyno.errors import ConfigError
from dyno.procs import python_module
from dyno.records import LoadResult, RateSearch, read_record
from loadgen.cli import load_command
from loadgen.search import find_rate, judge, parse_limits, samples_needed
from tests.loadgen.stub import stub_server
from tests.reports.sample import GOLDEN

TRIAL = GOLDEN / "trials" / "c7a.medium_compiled_t1_w1.json"


def result(rate: float, p99_ms: float | None, *, answered: float = 1.0, invalid: bool = False) -> LoadResult:
    """A LoadResult of the golden run, with other numbers."""
    from dyno.records import Trial

    golden = read_record(TRIAL, Trial).points[0]
    percentiles = [
        each.model_copy(update={"ms": p99_ms, "low_ms": p99_ms, "high_ms": p99_ms and p99_ms * 1.1})
        for each in golden.percentiles
    ]
    throughput = golden.throughput_rps.model_copy(update={"value": rate * answered})
    return golden.model_copy(
        update={
            "percentiles": tuple(percentiles),
            "throughput_rps": throughput,
            "samples": round(rate * golden.window_s),
            "errors": 0,
            "error_rate": 0.0,
            "invalid_reasons": ("late",) if invalid else (),
        }
    )


def test_the_gap_closes_around_the_rate_at_which_a_server_breaks() -> None:
    rates: list[float] = []

    def measure(rate: float) -> LoadResult:
        rates.append(rate)
        return result(rate, 10.0 if rate <= 130 else 100.0)

    found = find_rate(measure, {"p99_ms": 50.0}, url="u", start_rps=25, precision=0.05)
    # 25, 50, 100 meet it, 200 does not; then 150, 125, 137.5, 131.25.
    assert rates == [25, 50, 100, 200, 150, 125, 137.5, 131.25]
    assert (found.met_rps, found.failed_rps) == (125, 131.25)


def test_a_first_guess_that_is_too_high_is_halved_and_given_up_at_a_sixteenth() -> None:
    found = find_rate(lambda rate: result(rate, 99.0), {"p99_ms": 50.0}, url="u", start_rps=64, precision=0.1)
    assert found.met_rps is None
    assert [step.rate_rps for step in found.steps] == [64, 32, 16, 8, 4]


def test_a_rate_that_is_too_low_to_be_judged_is_not_tried() -> None:
    found = find_rate(
        lambda rate: result(rate, 99.0), {"p99_ms": 50.0}, url="u", start_rps=64, precision=0.1, least_rps=20
    )
    assert [step.rate_rps for step in found.steps] == [64, 32]


def test_a_first_rate_that_is_too_low_is_refused_with_what_to_do() -> None:
    command = [
        "http://127.0.0.1:1",
        "--find-rate",
        "--limit",
        "p99_ms=50",
        "--rate",
        "2",
        "--max-duration",
        "60",
    ]
    with pytest.raises(ConfigError, match="raise --rate to 8 or --max-duration"):
        CliRunner().invoke(
            load_command,
            [*command, "--payload", __file__, "--content-type", "text/plain"],
            catch_exceptions=False,
        )


def test_a_step_fails_for_each_reason_of_its_own() -> None:
    limits = {"p99_ms": 50.0}
    assert judge(10, result(10, 40.0), limits).met
    assert judge(10, result(10, 40.0), limits).certain
    assert not judge(10, result(10, 48.0), limits).certain  # its interval ends at 52.8
    assert "p99_ms is 60, limit 50" in judge(10, result(10, 60.0), limits).reasons
    assert "can't be stated" in judge(10, result(10, None), limits).reasons[0]
    assert "9 of 10 requests/s" in judge(10, result(10, 40.0, answered=0.9), limits).reasons[0]
    assert judge(10, result(10, 40.0, invalid=True), limits).reasons == ("late",)


def test_limits_are_read_and_each_step_gets_the_samples_that_they_need() -> None:
    assert parse_limits(("p95_ms=20", "error_rate=0.5")) == {"error_rate": 0.5, "p95_ms": 20.0}
    assert samples_needed({"p95_ms": 20.0, "p99_ms": 50.0, "error_rate": 0.01}) == 368


@pytest.mark.parametrize("text", ["p98_ms=3", "p99_ms", "p99_ms=x", "p99_ms=-1", "error_rate=0.1"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_limits((text,))


def test_the_command_finds_a_rate_on_a_real_server_and_writes_its_steps(tmp_path: Path) -> None:
    output = tmp_path / "search.json"
    options = ["--find-rate", "--limit", "p50_ms=200", "--rate", "40", "--warmup", "0.2", "--duration", "0.5"]
    with stub_server(tmp_path, "--slow-until-s", "600", "--slow-ms", "400") as server:
        command = python_module("dyno", "load", server.url, *options, "-o", str(output))
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = read_record(output, RateSearch)
    assert done.returncode == 1, done.stderr  # 400 ms are above 200 ms at any rate
    assert found.met_rps is None
    assert all("p50_ms" in " ".join(step.reasons) for step in found.steps)
    assert "no rate met the limits" in done.stdout
