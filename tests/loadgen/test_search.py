"""The search for the highest rate: by hand on a made-up server, and for real on one of known service time."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modeldyno.base.errors import ConfigError, LoadTestError, UnansweredError
from modeldyno.base.process.procs import python_module
from modeldyno.base.records.load import LoadResult, RateSearch
from modeldyno.base.records.record import read_record
from modeldyno.base.records.run import Limits
from modeldyno.loadgen.cli import load_command
from modeldyno.loadgen.search import SearchPlan, confirm_rate, find_rate
from modeldyno.loadgen.spec.limit_names import NAMES, named_limits, parse_limits, samples_needed
from modeldyno.loadgen.verdict.rate_step import judge
from tests.loadgen.stub import stub_server
from tests.reports.sample import GOLDEN

TRIAL = GOLDEN / "trials" / "c7a.medium_compiled_t1_w1.json"


def result(rate: float, p99_ms: float | None, *, answered: float = 1.0, invalid: bool = False) -> LoadResult:
    """A LoadResult of the golden run, with other numbers."""
    from modeldyno.base.records.run import Trial

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

    found = searched(measure, start_rps=25, precision=0.05)
    # 25, 50, 100 meet it, 200 does not; then 150, 125, 137.5, 131.25; and 125 once more.
    assert rates == [25, 50, 100, 200, 150, 125, 137.5, 131.25, 125]
    assert (found.met_rps, found.failed_rps) == (125, 131.25)


def test_a_first_guess_that_is_too_high_is_halved_and_given_up_at_a_sixteenth() -> None:
    found = searched(lambda rate: result(rate, 99.0), precision=0.1)
    assert found.met_rps is None
    assert [step.rate_rps for step in found.steps] == [64, 32, 16, 8, 4]


def test_a_rate_that_is_too_low_to_be_judged_is_not_tried() -> None:
    found = searched(
        lambda rate: result(rate, 99.0),
        precision=0.1,
        least_rps=20,
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
    assert judge(10, result(10, None), limits).void
    assert not judge(10, result(10, None, answered=0.9), limits).void
    assert "9 of 10 requests/s" in judge(10, result(10, 40.0, answered=0.9), limits).reasons[0]
    assert judge(10, result(10, 40.0, invalid=True), limits).reasons == ("late",)


def test_limits_are_read_and_each_step_gets_the_samples_that_they_need() -> None:
    assert parse_limits(("p95_ms=20", "error_rate=0.5")) == {"error_rate": 0.5, "p95_ms": 20.0}
    assert samples_needed({"p95_ms": 20.0, "p99_ms": 50.0, "error_rate": 0.01}) == 368
    assert parse_limits(("p99.9_ms=20", "p90_ms=5")) == {"error_rate": 0.01, "p99.9_ms": 20.0, "p90_ms": 5.0}
    assert samples_needed({"p90_ms": 5.0, "p99.9_ms": 20.0, "error_rate": 0.01}) == 3688


def test_a_job_takes_every_limit_that_the_command_takes() -> None:
    values = dict.fromkeys(NAMES, "0.5")
    texts = tuple(f"{name}={value}" for name, value in values.items())
    assert named_limits(Limits.model_validate(values)) == parse_limits(texts)


@pytest.mark.parametrize(
    "text", ["p98_ms=3", "p99_ms", "p99_ms=x", "p99_ms=-1", "p99_ms=inf", "error_rate=0.1", "error_rate=5"]
)
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_limits((text,))


def test_the_command_finds_a_rate_on_a_real_server_and_writes_its_steps(tmp_path: Path) -> None:
    output = tmp_path / "search.json"
    options = ["--find-rate", "--limit", "p50_ms=200", "--rate", "40", "--warmup", "0.2", "--duration", "0.5"]
    with stub_server(tmp_path, "--slow-until-s", "600", "--slow-ms", "400") as server:
        command = python_module("modeldyno", "load", server.url, *options, "-o", str(output))
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = read_record(output, RateSearch)
    assert done.returncode == 1, done.stderr  # 400 ms are above 200 ms at any rate
    assert found.met_rps is None
    assert all("p50_ms" in " ".join(step.reasons) for step in found.steps if not step.void)
    assert any("p50_ms" in " ".join(step.reasons) for step in found.steps)
    assert "no rate met the limits" in done.stdout


def searched(measure: Callable[[float], LoadResult], **options: Any) -> RateSearch:
    """Search from 64 req/s with a limit of 50 ms on p99."""
    idle, on_step = options.pop("idle", str), options.pop("on_step", None)
    plan = SearchPlan({"p99_ms": 50.0}, **{"start_rps": 64, "precision": 0.3, **options})
    return find_rate(measure, plan, url="u", idle=idle, on_step=on_step)


class Spoiled:
    """A server that meets the limits up to 130 req/s, asked by a generator that spoils chosen tests."""

    def __init__(self, *void: int, from_rps: float = math.inf) -> None:
        self.void, self.from_rps = void, from_rps
        self.rates: list[float] = []

    def __call__(self, rate: float) -> LoadResult:
        self.rates.append(rate)
        void = len(self.rates) in self.void or rate >= self.from_rps
        return result(rate, 10.0 if rate <= 130 else 100.0, invalid=void)


def test_a_void_test_is_repeated_and_is_no_miss() -> None:
    measure = Spoiled(1, 3, 4)
    found = searched(measure)
    assert measure.rates == [64, 64, 128, 128, 128, 256, 192, 160, 128]
    assert [step.void for step in found.steps] == [True, False, True, True] + 5 * [False]
    assert (found.met_rps, found.failed_rps, found.confirmed, found.undecided) == (128, 160, True, "")


def test_above_what_the_generator_can_send_the_rate_stays_unknown() -> None:
    measure = Spoiled(from_rps=100)
    found = searched(measure)
    assert measure.rates == [64, 128, 128, 128, 64]
    assert (found.met_rps, found.failed_rps, found.confirmed) == (64, None, True)
    assert found.undecided == (
        "unknown above 64 req/s: the generator is the limit; all 3 load tests at 128 req/s were void: late"
    )


def test_a_first_rate_that_the_generator_cannot_send_is_halved_and_never_called_missed() -> None:
    found = searched(Spoiled(from_rps=40))
    assert (found.met_rps, found.failed_rps, found.confirmed) == (32, None, True)
    assert found.undecided.startswith("unknown above 32 req/s: the generator is the limit")
    nothing = searched(Spoiled(from_rps=0))
    assert (nothing.met_rps, nothing.failed_rps) == (None, None)
    assert nothing.undecided.startswith("nothing is known: the generator is the limit")


def test_a_rate_that_is_not_confirmed_is_not_reported() -> None:
    rates: list[float] = []

    def measure(rate: float) -> LoadResult:
        rates.append(rate)
        return result(rate, 10.0 if rate <= 130 and len(rates) < 5 else 100.0 if rate > 90 else 10.0)

    found = searched(measure)
    # 128 met once by chance; tried again it does not, and neither does 96.
    assert rates == [64, 128, 256, 192, 160, 128, 96, 80, 80]
    assert (found.met_rps, found.failed_rps, found.confirmed) == (80, 96, True)


def test_a_search_whose_confirmation_is_void_is_not_decided() -> None:
    found = searched(Spoiled(6, 7, 8))
    assert (found.met_rps, found.confirmed) == (128, False)
    assert "128 req/s met the limits once, the load tests to confirm it were void: late" in found.undecided
    assert found.only_unconfirmed


def test_no_rate_is_tried_at_a_server_that_is_not_idle() -> None:
    waits = iter(["", "", "the server was not idle 60 s after a load test"])
    measure = Spoiled()
    found = searched(measure, idle=lambda: next(waits))
    assert measure.rates == [64, 128]
    assert found.undecided == "the server was not idle 60 s after a load test"
    assert (found.met_rps, found.confirmed) == (128, False)


def test_a_test_that_could_not_be_run_is_void_and_one_without_an_answer_is_missed() -> None:
    def broken(rate: float) -> LoadResult:
        if rate > 64:
            raise LoadTestError("Locust ended early")
        return result(rate, 10.0)

    def silent(rate: float) -> LoadResult:
        if rate > 64:
            raise UnansweredError("no request succeeded")
        return result(rate, 10.0)

    assert "3 load tests at 128 req/s were void: Locust ended early" in searched(broken).undecided
    assert searched(silent).undecided == ""
    with pytest.raises(LoadTestError, match="ended early"):
        searched(broken, start_rps=128)


def test_a_full_pool_is_a_miss_only_where_the_limit_is_missed_by_what_was_really_sent() -> None:
    bound = result(100, 300.0, invalid=True).model_copy(update={"held_back": 7})
    slow, fast = (
        tuple(each.model_copy(update={"low_ms": ms}) for each in bound.percentiles) for ms in (60.0, 40.0)
    )
    missed = judge(100, bound.model_copy(update={"sent_percentiles": slow}), {"p99_ms": 50.0})
    assert (missed.met, missed.void) == (False, False)
    assert judge(100, bound.model_copy(update={"sent_percentiles": fast}), {"p99_ms": 50.0}).void
    late_too = {"sent_percentiles": slow, "invalid_reasons": ("late", "held back")}
    assert judge(100, bound.model_copy(update=late_too), {"p99_ms": 50.0}).void


def test_a_search_that_is_cut_short_tells_what_was_decided() -> None:
    def measure(rate: float) -> LoadResult:
        return result(rate, 10.0).model_copy(update={"cut_short": "SIGTERM" if rate > 100 else ""})

    found = searched(measure)
    assert [step.rate_rps for step in found.steps] == [64]
    assert found.undecided == "SIGTERM ended the search in its load test at 128 req/s"


@pytest.mark.slow
def test_a_search_whose_generator_is_the_limit_exits_3_and_says_so(tmp_path: Path) -> None:
    output = tmp_path / "search.json"
    # No request may be in flight while another is: at every rate some have to wait.
    options = [
        "--find-rate",
        "--limit",
        "p50_ms=2000",
        "--rate",
        "20",
        "--warmup",
        "0",
        "--duration",
        "0.5",
        "--max-duration",
        "1",
    ]
    with stub_server(tmp_path, "--service-ms", "500") as server:
        command = python_module("modeldyno", "load", server.url, *options, "--max-in-flight", "1")
        done = subprocess.run(
            [*command, "-o", str(output)], capture_output=True, text=True, check=False, timeout=300
        )
    found = read_record(output, RateSearch)
    assert done.returncode == 3, done.stderr
    assert found.met_rps is None
    assert found.steps[0].void
    assert "the bound on requests in flight (1) was met" in found.undecided
    assert "not decided: nothing is known: the generator is the limit" in done.stdout


def test_a_rate_found_elsewhere_is_tried_at_an_idle_server_and_again_where_that_is_void() -> None:
    limits, asked = {"p99_ms": 50.0}, list[int]()

    def confirmed(*results: LoadResult, idle: str = "") -> RateSearch:
        left = list(results)

        def seen() -> str:
            asked.append(len(left))
            return idle

        return confirm_rate(lambda: left.pop(0), 100.0, limits, url="u", idle=seen)

    met, missed, void = result(100, 10.0), result(100, 99.0), result(100, 10.0, invalid=True)
    assert (confirmed(met).met_rps, confirmed(missed).failed_rps) == (100, 100)
    again = confirmed(void, met)
    assert (again.met_rps, [step.void for step in again.steps]) == (100, [True, False])
    twice = confirmed(void, void, met)
    assert (twice.met_rps, twice.failed_rps, len(twice.steps)) == (None, None, 2)
    assert asked == [1, 1, 2, 1, 3, 2]
    assert confirmed(met, idle="it is busy").undecided == "it is busy"
