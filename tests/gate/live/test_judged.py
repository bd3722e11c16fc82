"""What the blocks of a gate say, without a server: verdicts, warnings, and when servers start anew."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateMetric, GateVerdict
from modeldyno.gate.live.judged import metrics, overall, side_value, warnings
from modeldyno.gate.live.loads import OpenLoop, too_small
from modeldyno.gate.live.rounds import Course, GateOrder, starts_for
from modeldyno.gate.options import GateOptions
from modeldyno.gate.record import command_of, exit_code, of_urls
from modeldyno.loadgen.payloads.body import JSON, Payload
from modeldyno.loadgen.payloads.files import single
from modeldyno.trials.compare.blocks import Block
from modeldyno.trials.compare.looks.sequential import limit_of
from modeldyno.trials.providers.here import Elsewhere
from tests.trials.made import BUSY, QUIET, block

BODY = single(Payload(b"[1]", JSON))


def order(*names: str) -> GateOrder:
    return GateOrder(
        provider=Elsewhere({}),
        orders={},
        cores=(0,),
        payload=BODY,
        users=1,
        throughput_users=2,
        limits={name: limit_of(0.05) for name in names or ("p50_ms",)},
        budget_s=60.0,
        alpha=0.01,
        seed=0,
    )


def blocks(rounds: int, *, busy: tuple[int, ...] = (), slower: float = 1.2) -> list[Block]:
    found = []
    for number in range(rounds):
        readings = BUSY if number in busy else QUIET
        for side, factor in (("baseline", 1.0), ("candidate", slower)):
            latencies = tuple(int(1000 * factor * (1 + step / 100)) for step in range(20))
            found.append(block(f"{side} latency", number, latencies, cpu_s=0.01 * factor, readings=readings))
    return found


def metric(name: str, verdict: GateVerdict, limit: float | None = 0.05, *, exact: bool = False) -> GateMetric:
    return GateMetric(metric=name, verdict=verdict, text="", max_regression=limit, exact=exact)


def test_the_verdict_of_all_is_the_worst_that_is_sure() -> None:
    slow, fine, open_ = (metric("p50_ms", each) for each in ("regression", "pass", "inconclusive"))
    better = metric("p95_ms", "improvement")
    shown = metric("cpu_ms_per_request", "pass", None)
    assert overall([better, slow, open_]) == "regression"
    assert overall([better, open_]) == "inconclusive"
    assert overall([better, shown]) == "improvement"
    assert overall([better, fine]) == "pass"
    assert overall([better, metric("artifact_bytes", "pass", 0.1, exact=True)]) == "improvement"
    assert overall([better, metric("parity_max_rel", "inconclusive", 0.1, exact=True)]) == "inconclusive"
    assert overall([better, metric("parity_max_rel", "inconclusive", None, exact=True)]) == "improvement"
    assert overall([]) == "pass"


def test_exit_codes() -> None:
    options = GateOptions(baseline="a", candidate="b")
    verdicts: tuple[GateVerdict, ...] = ("pass", "improvement", "regression", "inconclusive")
    assert [exit_code(each, options) for each in verdicts] == [0, 0, 1, 3]
    assert exit_code("inconclusive", replace(options, inconclusive_is="fail")) == 1
    assert exit_code("inconclusive", replace(options, inconclusive_is="pass")) == 0
    assert of_urls("regression", options) == "inconclusive"
    assert of_urls("regression", replace(options, trust_url=True)) == "regression"
    assert of_urls("improvement", options) == "improvement"


def test_what_repeats_a_gate_names_all_that_is_not_usual() -> None:
    options = GateOptions(
        baseline="a b", candidate="b", max_regression=("p50_ms=3%",), force=True, cpus=(0, 1)
    )
    said = command_of(options)
    assert said.startswith("dyno gate '--baseline=a b' --candidate=b --max-regression=p50_ms=3%")
    assert "--force" in said
    assert "--cpus=0,1" in said
    assert "--workers" not in said


def test_too_few_pairs_decide_nothing_and_values_are_there() -> None:
    course = Course(blocks=blocks(10))
    (p50,) = metrics(course, order())
    assert p50.verdict == "inconclusive"
    assert "10 pairs, and 24 are needed" in p50.text
    assert p50.candidate == pytest.approx(1.2 * (p50.baseline or 0), rel=0.01)
    pairs = course.judged("p50_ms")
    assert side_value("cpu_ms_per_request", pairs, "baseline") == pytest.approx(0.5)
    assert side_value("p99_ms", pairs, "baseline") == pytest.approx(1.19, abs=0.01)
    assert side_value("p50_ms", (), "baseline") is None


def test_disturbed_pairs_are_left_out_while_enough_are_left() -> None:
    course = Course(blocks=blocks(30, busy=(1, 2)))
    assert len(course.judged("p50_ms")) == 28
    assert not [each for each in warnings(course, order()) if each.rank == "weak"]
    few = Course(blocks=blocks(30, busy=tuple(range(10))))
    assert len(few.judged("p50_ms")) == 30
    assert "only 20 of 30 pairs were undisturbed" in next(warnings(few, order())).text


def test_failures_of_the_baseline_are_void_and_those_of_the_candidate_are_judged() -> None:
    course = Course(blocks=blocks(24))
    course.errors.update(baseline=30, candidate=30)
    ranks = [each.rank for each in warnings(course, order()) if "failed" in each.text]
    assert ranks == ["void", "weak"]


def test_turns_that_did_not_begin_with_an_empty_queue_are_told() -> None:
    course = Course(blocks=blocks(24))
    course.not_full["candidate"] = 3
    course.first_errors["candidate"] = "it has 4 requests in flight"
    told = [each for each in warnings(course, order()) if "turns of the candidate" in each.text]
    assert [each.rank for each in told] == ["weak"]
    assert "4 requests in flight" in told[0].text


def test_a_floor_above_the_limit_is_told() -> None:
    usual = order()
    restless = replace(usual, limits={"p50_ms": limit_of(0.05, between_starts=0.04)})
    course = Course(blocks=blocks(24))
    told = [each.text for each in warnings(course, restless) if "starts differ so much" in each.text]
    assert told == [
        "p50_ms: starts differ so much here that less than 8.0% is no regression, and the limit is 5.0%"
    ]
    assert not [
        each for each in warnings(course, usual) if "starts differ" in each.text and each.rank == "weak"
    ]


def test_starts_take_no_more_than_there_is_room_for() -> None:
    assert starts_for(3.0, 50.0, 16.0) == (0.2, 0.4, 0.6, 0.8)
    assert starts_for(3.0, 25.0, 16.0) == (1 / 3, 2 / 3)
    assert starts_for(3.0, 17.0, 16.0) == ()
    assert starts_for(30.0, 60.0, 16.0) == ()
    spaces = [after - before for before, after in pairwise((0.0, *starts_for(1.0, 60.0, 16.0), 1.0))]
    assert spaces == pytest.approx([0.2] * 5)


def test_windows_need_their_time_whatever_the_server() -> None:
    load = OpenLoop(10.0, BODY, seed=0, timeout_s=1.0)
    needed_s = load.needed_s({"a": 0.001, "b": 5.0})
    assert 480 < needed_s <= 560
    load.plan({"a": 0.001, "b": 5.0}, needed_s)
    with pytest.raises(ConfigError):
        load.plan({"a": 0.001, "b": 5.0}, needed_s - 1)


def test_what_is_too_small_says_what_would_do() -> None:
    error = too_small(60.0, 10.0, 90.0)
    assert error.field == "budget_s"
    assert "the start of both sides took 10 s" in error.message
    assert error.hint == "`budget_s=111` would do"
