from __future__ import annotations

import numpy as np
import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import Estimate
from modeldyno.loadgen.spec.stages import parse_stairs
from modeldyno.loadgen.spec.stop_rules import Evidence, Rule, check_rules, flat, met, parse_rules, share_low

S = 1_000_000


def rule(text: str) -> Rule:
    (found,) = parse_rules([text])
    return found


def seen(latency_ms: list[float], errors: int = 0, *, over: bool = False) -> Evidence:
    """Requests spread evenly over ten seconds."""
    starts = np.linspace(0, 10 * S - 1, len(latency_ms)).astype(np.int64)
    latency_us = (1000 * np.asarray(latency_ms)).astype(np.int64)
    return Evidence((0, 10 * S), starts, latency_us, errors, over)


def rate(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, method="given")


# 1 to 1000 ms, evenly spread over the slices of the window.
EVENLY = [float(1 + 619 * number % 1000) for number in range(1000)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p99>50ms", Rule("p99>50ms", "latency", 50, 99)),
        ("p99.9 >= 1.5s", Rule("p99.9 >= 1.5s", "latency", 1500, 99.9)),
        ("p50>800us", Rule("p50>800us", "latency", 0.8, 50)),
        ("p95>20", Rule("p95>20", "latency", 20, 95)),
        ("errors>1%", Rule("errors>1%", "errors", 0.01)),
        ("errors>0.5", Rule("errors>0.5", "errors", 0.5)),
        ("requests>=10000", Rule("requests>=10000", "requests", 10000)),
        ("p99_width<5%", Rule("p99_width<5%", "width", 0.05, 99)),
        ("flat", Rule("flat", "flat", 0.05)),
        ("flat<2%", Rule("flat<2%", "flat", 0.02)),
    ],
)
def test_a_rule_is_read(text: str, expected: Rule) -> None:
    assert rule(text) == expected


def test_rules_stand_alone_or_with_commas() -> None:
    assert [each.kind for each in parse_rules(["p99>50ms, p95>20ms", "flat"])] == [
        "latency",
        "latency",
        "flat",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "p99", "p99<50ms", "p99>5%", "p100>5ms", "p0>5ms", "errors<1%", "errors>100%", "errors>1ms",
     "requests>5", "requests>=5%", "requests>=0", "p99_width>5%", "p99_width<0%", "flat>5%", "flat<5ms",
     "p99>50ms;flat", "__import__('os')"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="stop rule"):
        parse_rules([text])


def test_a_running_test_is_ended_only_by_what_is_above_the_threshold_for_certain() -> None:
    # p90 of 1 ... 1000 ms is 900 ms; its 95 % interval begins near 900 - 1.96 sqrt(1000 0.9 0.1) = 881.
    assert met(rule("p90>890ms"), seen(EVENLY)) is None
    why = met(rule("p90>870ms"), seen(EVENLY))
    assert why is not None
    assert why.startswith("p90 is 900 ms (95 %: 88")


def test_a_stage_that_is_over_is_judged_by_its_value() -> None:
    assert met(rule("p90>890ms"), seen(EVENLY, over=True)) is not None
    assert met(rule("p90>900ms"), seen(EVENLY, over=True)) is None


def test_a_percentile_that_the_samples_do_not_state_ends_nothing() -> None:
    assert met(rule("p99>1ms"), seen(EVENLY[:367], over=True)) is None
    assert met(rule("p99>1ms"), seen(EVENLY[:368], over=True)) is not None


def test_errors_end_a_test_when_chance_does_not_explain_them() -> None:
    # Wilson's lower end of 10 of 100 is 5.52 %.
    assert share_low(10, 100) == pytest.approx(0.05523, abs=1e-5)
    assert met(rule("errors>6%"), seen(EVENLY[:90], errors=10)) is None
    assert met(rule("errors>5%"), seen(EVENLY[:90], errors=10)) == "10 of 100 requests failed"
    assert met(rule("errors>6%"), seen(EVENLY[:90], errors=10, over=True)) is not None
    assert met(rule("errors>0%"), seen(EVENLY[:90])) is None
    assert met(rule("errors>0%"), seen([], errors=1)) is not None


def test_requests_are_counted_with_those_that_failed() -> None:
    assert met(rule("requests>=100"), seen(EVENLY[:90], errors=9)) is None
    assert met(rule("requests>=100"), seen(EVENLY[:90], errors=10)) == "100 requests have ended"


def test_a_width_is_a_share_of_the_percentile() -> None:
    # p50 = 500 ms, between the ranks 469 and 532 or so: about 12.4 % wide.
    assert met(rule("p50_width<12%"), seen(EVENLY)) is None
    assert met(rule("p50_width<13%"), seen(EVENLY)) is not None
    assert met(rule("p99.9_width<90%"), seen(EVENLY)) is None  # not stated


def test_throughput_is_flat_when_two_stages_in_a_row_did_not_grow() -> None:
    grown = [rate(100, 2), rate(190, 2)]
    assert flat(rule("flat"), [*grown, rate(191, 2)]) is None
    assert flat(rule("flat"), [*grown, rate(191, 2), rate(189, 2)]) == (
        "191 and 189 requests/s in the last 2 stages, 190 before them"
    )
    assert flat(rule("flat"), [*grown, rate(191, 2), rate(189, 2), rate(230, 2)]) is None


def test_growth_beyond_the_noise_is_growth_however_small() -> None:
    # 4 more on 100, each known to within 1: sqrt(2) is the noise of their difference.
    assert flat(rule("flat"), [rate(100, 1), rate(104, 1), rate(108, 1)]) is None
    assert flat(rule("flat"), [rate(100, 4), rate(104, 4), rate(103, 4)]) is not None


def test_noise_alone_makes_no_plateau() -> None:
    # 20 % more within wide intervals: nobody knows, so the test goes on.
    assert flat(rule("flat"), [rate(100, 50), rate(120, 50), rate(144, 50)]) is None


def test_rules_that_a_test_cannot_judge_are_refused() -> None:
    stairs = parse_stairs("steps=2,users=1,seconds=9")
    check_rules(LoadSpec(url="u", stairs=stairs, stop_when=("flat", "p99>5ms")))
    check_rules(LoadSpec(url="u", users=1, stop_when=("p99_width<5%",)))
    with pytest.raises(ConfigError, match="flat needs a number of users that grows"):
        check_rules(LoadSpec(url="u", users=1, stop_when=("flat",)))
    with pytest.raises(ConfigError, match="a width needs a load that stays the same"):
        check_rules(LoadSpec(url="u", stairs=stairs, stop_when=("p99_width<5%",)))
