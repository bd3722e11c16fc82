"""Each rule of scaling against a trace that was worked by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from modeldyno.base.scaling import (
    Kubernetes,
    Policy,
    Seen,
    State,
    Step,
    StepScaling,
    TargetTracking,
    breached,
    group_policy,
    service_policy,
    together,
)


def run(
    policy: Policy, values: Sequence[float | None], *, instances: int, every_s: float = 60.0
) -> list[int]:
    """What is wanted after each datapoint; new instances serve at once."""
    state, found = State(instances), []
    for at in range(len(values)):
        state = policy.step(state, Seen(every_s * at, values[: at + 1], state.desired))
        found.append(state.desired)
    return found


def test_an_alarm_needs_all_of_its_last_datapoints() -> None:
    assert breached([1, 9, 9, 9], 5, 3, above=True)
    assert not breached([9, 9, 5, 9], 5, 3, above=True)
    assert not breached([9, 9], 5, 3, above=True)
    assert not breached([1, None, 1], 5, 3, above=False)


def test_out_in_proportion_at_the_third_minute() -> None:
    # 1 instance at 400 of 100: ceil(1 * 400 / 100) = 4 in one step, at the third datapoint.
    assert run(service_policy(100, 1, 10), [400, 400, 400], instances=1) == [1, 1, 4]
    assert run(service_policy(100, 1, 3), [400, 400, 400], instances=1)[-1] == 3


def test_at_the_target_nothing_happens() -> None:
    assert run(service_policy(100, 1, 10), [100.0] * 20, instances=2)[-1] == 2


@pytest.mark.parametrize(
    ("policy", "calm", "stirs"),
    [
        (service_policy(30, 1, 40), 27.0, 26.9),
        (group_policy(50, 1, 40), 35.0, 34.9),
        (group_policy(90, 1, 40), 63.0, 62.9),
    ],
)
def test_in_after_15_minutes_below_the_low_alarm(policy: TargetTracking, calm: float, stirs: float) -> None:
    assert run(policy, [calm] * 30, instances=20)[-1] == 20
    found = run(policy, [stirs] * 15, instances=20)
    assert found[13:] == [20, math.ceil(20 * stirs / policy.target)]


def test_a_scale_in_waits_for_its_cooldown_and_a_scale_out_does_not() -> None:
    policy = service_policy(100, 1, 20)
    # 10 at 50: in to 5 at minute 14. Then 50 still (of fewer, by hand): to 3 five minutes later, not before.
    found = run(policy, [50.0] * 21, instances=10)
    assert found[13:21] == [10, 5, 5, 5, 5, 5, 3, 3]
    out = run(policy, [50.0] * 15 + [300.0] * 3, instances=10)
    assert out[14:] == [5, 5, 5, 15]


def test_nothing_scales_in_within_the_cooldown_of_a_scale_out() -> None:
    state = State(4, out_at_s=1000.0)
    calm = [10.0] * 15
    policy = service_policy(100, 1, 9)
    assert policy.step(state, Seen(1299.0, calm, 4)).desired == 4
    assert policy.step(state, Seen(1300.0, calm, 4)).desired == 1


def test_what_is_on_its_way_is_not_asked_for_twice() -> None:
    policy = service_policy(100, 1, 20)
    state = policy.step(State(1), Seen(180, [400, 400, 400], 1))
    # Still one in service, still 400 each: the same 4. At 600 it is 6.
    assert policy.step(state, Seen(240, [400, 400, 400, 400], 1)).desired == 4
    assert policy.step(state, Seen(240, [400, 400, 400, 600], 1)).desired == 6


def test_missing_data_scale_nothing() -> None:
    assert run(service_policy(100, 1, 9), [None] * 30, instances=5)[-1] == 5
    assert run(service_policy(100, 1, 9), [10.0] * 14 + [None], instances=5)[-1] == 5


def test_scaling_in_can_be_off() -> None:
    assert run(TargetTracking(100, scales_in=False), [1.0] * 40, instances=5)[-1] == 5


STEPS = StepScaling(60, (Step(0, 10, 1), Step(10, 20, 2), Step(20, math.inf, 4)), datapoints=1, most=20)


@pytest.mark.parametrize(
    ("metric", "change"), [(60, 0), (60.1, 1), (69.9, 1), (70, 2), (79.9, 2), (80, 4), (500, 4)]
)
def test_a_step_holds_its_lower_end(metric: float, change: int) -> None:
    assert run(STEPS, [metric], instances=5) == [5 + change]


def test_in_a_cooldown_only_what_a_larger_step_adds_counts() -> None:
    # 65: + 1 to 5. 75 within the cooldown: + 2 to the same 5, so one more. 75 again: nothing. Later: + 2.
    assert run(STEPS, [65, 75, 75, 75, 75, 75, 75], instances=5) == [6, 7, 7, 7, 7, 7, 9]


def test_a_step_may_take_instances_away() -> None:
    steps = StepScaling(30, (Step(-math.inf, -10, -2), Step(-10, 0, -1)), datapoints=2)
    assert run(steps, [25, 25, 25, 25, 25, 25, 25], instances=5) == [5, 4, 4, 4, 4, 4, 3]
    assert run(steps, [15, 15], instances=5) == [5, 3]


def test_of_several_policies_the_largest_wins_out_and_all_must_agree_in() -> None:
    now = State(5)
    assert together(now, [State(7), State(9), State(3)]).desired == 9
    assert together(now, [State(3), State(5)]).desired == 5
    assert together(now, [State(3), State(4)]).desired == 4


def test_kubernetes_tolerates_a_tenth_and_goes_in_by_five_minutes() -> None:
    policy = Kubernetes(100)
    assert run(policy, [109.0, 91.0], instances=10, every_s=15) == [10, 10]
    assert run(policy, [150.0], instances=10, every_s=15) == [15]
    # 10 at 50: 5 is recommended at once; 10 was recommended at 0 s, so it goes in when that is 300 s old.
    found = run(policy, [100.0] + [50.0] * 21, instances=10, every_s=15)
    assert found.index(5) == 20
    assert found[:20] == [10] * 20
