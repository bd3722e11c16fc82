"""One load test held against limits: by records, by simulation, and by the command at a real server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from modeldyno.base.command.cli import run
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import read_record
from modeldyno.base.records.run import Trial
from modeldyno.loadgen.cli import load_command
from modeldyno.loadgen.spec.limit_plan import check_limits, samples_for
from modeldyno.loadgen.stats.intervals import share_interval
from modeldyno.loadgen.verdict.limits import verdict
from tests.loadgen.stub import stub_server
from tests.reports.sample import GOLDEN

P99 = {"p99_ms": 50.0}
TRIAL = GOLDEN / "trials" / "c7a.medium_compiled_t1_w1.json"


def measured(
    p99_ms: tuple[float | None, float | None, float | None] = (9.0, 10.0, 11.0),
    *,
    rate_rps: float | None = 40.0,
    samples: int = 400,
    errors: int = 0,
    answered: int | None = None,
    **fields: object,
) -> LoadResult:
    """10 s of a load test, with these numbers: p99 from lower end to upper, answers within the window."""
    golden = read_record(TRIAL, Trial).points[0]
    low, value, high = p99_ms
    percentiles = tuple(
        each.model_copy(update={"low_ms": low, "ms": value, "high_ms": high, "effective_samples": 300})
        for each in golden.percentiles
    )
    rps = (samples if answered is None else answered) / 10
    throughput = golden.throughput_rps.model_copy(update={"value": rps, "low": rps - 2, "high": rps + 2})
    load = {"rate_rps": rate_rps, "users": None if rate_rps else 2}
    numbers = {"samples": samples, "errors": errors, "error_rate": errors / (samples + errors)}
    return golden.model_copy(
        update={
            "spec": golden.spec.model_copy(update=load),
            "window_s": 10.0,
            "percentiles": percentiles,
            "throughput_rps": throughput,
            **numbers,
            **fields,
        }
    )


def answer(result: LoadResult, limits: Mapping[str, float]) -> str:
    return verdict(result, limits).answer


@pytest.mark.parametrize(
    ("p99_ms", "expected"),
    [
        ((9.0, 10.0, 50.0), "met"),
        ((50.1, 60.0, 70.0), "missed"),
        ((50.0, 60.0, 70.0), "not decided"),
        ((40.0, 45.0, 50.1), "not decided"),
        ((51.0, 60.0, None), "missed"),
        ((9.0, 10.0, None), "not decided"),
        ((None, None, None), "not decided"),
    ],
)
def test_the_interval_of_the_percentile_decides(
    p99_ms: tuple[float | None, float | None, float | None], expected: str
) -> None:
    found = verdict(measured(p99_ms), P99)
    assert found.answer == expected
    assert found.limits[0].answer == expected
    assert found.reasons == (() if expected == "met" else (found.limits[0].reason,))


def test_one_limit_that_is_missed_decides_whatever_the_others_say() -> None:
    found = verdict(measured((40.0, 45.0, 60.0), errors=40), {**P99, "error_rate": 0.01})
    assert found.answer == "missed"
    assert [each.answer for each in found.limits] == ["not decided", "missed"]
    assert found.reasons == (found.limits[1].reason,)


def test_a_void_test_decides_nothing_unless_the_server_missed_with_less_than_was_asked() -> None:
    late = measured((60.0, 70.0, 80.0), invalid_reasons=("late",))
    found = verdict(late, P99)
    assert found.answer == "not decided"
    assert found.reasons == ("the load test is void: late",)
    assert found.limits[0].answer == "not decided"
    held = late.model_copy(update={"held_back": 5, "sent_percentiles": late.percentiles})
    assert answer(held, P99) == "missed"
    assert answer(held, {"p99_ms": 65.0}) == "not decided"


@pytest.mark.parametrize(
    ("failed", "limit", "expected"),
    [
        (0, 0.01, "met"),  # 400 requests: at most 0.92 %
        (1, 0.01, "not decided"),
        (12, 0.01, "missed"),
        (0, 0.0, "met"),
        (1, 0.0, "missed"),
    ],
)
def test_the_share_of_errors_has_an_interval_too(failed: int, limit: float, expected: str) -> None:
    assert answer(measured(samples=400 - failed, errors=failed), {"error_rate": limit}) == expected


def test_errors_that_nobody_limited_are_not_passed_over() -> None:
    assert answer(measured(samples=100, errors=1), P99) == "met"
    assert answer(measured(samples=300, errors=100), P99) == "missed"
    assert verdict(measured(samples=300, errors=100), P99).limits[1].name == "error_rate"


def test_throughput_of_a_closed_loop_is_the_measured_one() -> None:
    found = [answer(measured(rate_rps=None), {"throughput_rps": least}) for least in (38, 39, 41, 43)]
    assert found == ["met", "not decided", "not decided", "missed"]


def test_throughput_of_an_open_loop_is_judged_by_the_share_of_arrivals_answered_in_time() -> None:
    few_by_chance = measured(samples=371, answered=370)
    assert answer(few_by_chance, {"throughput_rps": 40}) == "met"
    too_slow = measured(samples=400, answered=280)
    found = [answer(too_slow, {"throughput_rps": least}) for least in (20, 28, 35)]
    assert found == ["missed"] * 3  # a queue grows: no length of test would change it
    lost = measured(samples=300, errors=100)
    assert verdict(lost, {"throughput_rps": 32}).limits[0].answer == "missed"
    assert verdict(lost, {"throughput_rps": 20}).limits[0].answer == "met"


def test_a_trace_with_fewer_arrivals_than_wanted_says_nothing_of_the_server() -> None:
    slow = measured(samples=200)
    trace = slow.model_copy(update={"spec": slow.spec.model_copy(update={"arrival": "trace"})})
    assert answer(trace, {"throughput_rps": 40}) == "not decided"
    assert answer(trace, {"throughput_rps": 15}) == "met"


def test_an_open_loop_that_falls_behind_misses_whatever_its_latency_is() -> None:
    found = verdict(measured(samples=400, answered=280), P99)
    assert found.answer == "missed"
    assert found.reasons == ("28 of 40 requests/s were answered in time: a queue grew",)


def test_a_test_that_was_cut_short_meets_nothing() -> None:
    assert answer(measured(cut_short="Ctrl-C"), P99) == "not decided"
    assert answer(measured((60.0, 70.0, 80.0), cut_short="Ctrl-C"), P99) == "missed"


def test_intervals_of_shares_hold_the_truth_and_are_exact_at_their_ends() -> None:
    assert share_interval(0, 368)[1] <= 0.01 < share_interval(0, 367)[1]
    assert share_interval(5, 5)[1] == 1.0
    draw = np.random.default_rng(7)
    for share in (0.004, 0.3):
        ends = [share_interval(int(count), 500) for count in draw.binomial(500, share, 400)]
        missed = sum(not low <= share <= high for low, high in ends)
        assert missed <= 30  # of 400, at most 20 expected


def spec(**fields: object) -> LoadSpec:
    return LoadSpec.model_validate({"url": "http://a/", "rate_rps": 10, "duration_s": 10, **fields})


@pytest.mark.parametrize(
    ("fields", "limits", "told"),
    [
        ({}, P99, "`duration_s=43`"),
        ({}, {"p50_ms": 5.0, "error_rate": 0.001}, "error_rate=0.001 needs 3688 requests"),
        ({"rate_rps": 5}, {"throughput_rps": 5}, "`duration_s=20`"),
        ({}, {"throughput_rps": 11}, "10 requests/s arrive"),
        ({"rate_rps": 100, "stop_when": ("requests>=100",)}, P99, "requests>=100 ends the test before"),
        ({"rate_rps": None, "users": 1, "stop_when": ("requests>=100",)}, P99, "ends the test before"),
        ({"rate_rps": 0.001}, P99, "raise `rate_rps`"),
    ],
)
def test_a_limit_that_its_samples_can_never_state_is_refused(
    fields: Mapping[str, object], limits: Mapping[str, float], told: str
) -> None:
    with pytest.raises(Exception, match="`limits`") as caught:
        check_limits(spec(**fields), limits)
    assert told in str(caught.value)


def test_a_limit_that_its_samples_can_state_is_taken_and_its_hint_suffices() -> None:
    check_limits(spec(duration_s=43), P99)
    check_limits(spec(min_samples=368, max_duration_s=60), P99)
    check_limits(spec(rate_rps=None, users=1), {**P99, "throughput_rps": 900})
    assert samples_for("error_rate", 0.01, None) == samples_for("p99_ms", 1, None) == 368


def test_old_results_have_no_verdict_and_new_ones_keep_theirs(tmp_path: Path) -> None:
    old = measured()
    assert "verdict" not in json.loads(TRIAL.read_text())["points"][0]
    assert old.verdict is None
    judged = old.model_copy(update={"verdict": verdict(old, P99)})
    assert LoadResult.model_validate_json(judged.model_dump_json()).verdict == judged.verdict


@pytest.mark.parametrize(
    ("flags", "code", "last"),
    [
        (("--rate", "60", "--duration", "4", "--limit", "p50_ms=2000"), 0, "limits      MET"),
        (
            ("--users", "4", "--duration", "1.5", "--limit", "p50_ms=0.01"),
            1,
            "limits      MISSED: p50_ms is ",
        ),
        (("--users", "1", "--duration", "1", "--limit", "p99.9_ms=50"), 3, "limits      NOT DECIDED: p99.9"),
    ],
)
def test_the_command_judges_a_real_test(tmp_path: Path, flags: tuple[str, ...], code: int, last: str) -> None:
    output = tmp_path / "load.json"
    # Slow, so that a busy machine seldom voids the test: its generator may be late by a tenth of the median.
    with stub_server(tmp_path, "--service-ms", "200") as server:
        done = CliRunner().invoke(
            load_command, [server.url, "--warmup", "0.4", *flags, "-o", str(output)], standalone_mode=False
        )
    found = read_record(output, LoadResult)
    assert found.verdict is not None
    told = done.output.splitlines()[-1]
    if found.valid:
        assert (done.return_value, told[: len(last)]) == (code, last)
    else:  # this machine was too busy to measure
        assert done.return_value == 3
        assert told.startswith("limits      NOT DECIDED: the load test is void")


def test_a_limit_that_cannot_be_stated_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dyno", "load", "localhost:1", "--rate", "10", "--limit", "p99_ms=50"])
    assert run() == 2
    assert "--limit p99_ms=50 needs 368 requests" in (told := capsys.readouterr().err)
    assert told.strip().endswith("give `--duration 43`")
