"""The ranking, on numbers worked by hand and on whatever hypothesis comes up with."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.run import InstanceType, Limits, Row, Trial
from modeldyno.recommender.rank.rank import rank
from tests.recommender.measured import instance, point, trial

FREE = Limits(error_rate=None)


def ranked_names(*trials: Trial, limits: Limits = FREE) -> list[str]:
    return [row.instance_type for row in rank(trials, limits)[0]]


def only(trials: list[Trial], limits: Limits = FREE) -> Row:
    (row,) = itertools.chain(*rank(trials, limits))
    return row


def test_cheapest_per_request_wins_not_cheapest_per_hour() -> None:
    # 0.06 USD/h at 10 rps: 1.667 USD a million. 0.145 USD/h at 100 rps: 0.403 USD a million.
    slow = trial(point(10), on=instance("t9.micro", 0.06))
    fast = trial(point(100), on=instance("c7g.xlarge", 0.145))
    ranking, rejected = rank([slow, fast], FREE)
    assert [(row.rank, row.instance_type) for row in ranking] == [(1, "c7g.xlarge"), (2, "t9.micro")]
    assert [row.usd_per_million for row in ranking] == [pytest.approx(0.402778), pytest.approx(1.666667)]
    assert rejected == ()


def test_a_row_carries_what_was_measured_at_its_point() -> None:
    measured = point(
        100,
        50,
        rps_interval=(80, 125),
        p99_interval=(45, 60),
        users=8,
        samples=1234,
        error_rate=0.005,
        cpu_cores=1.5,
        warnings=("the generator was busy",),
    )
    row = only([trial(measured, on=instance(vcpus=2), threads=2)])
    assert (row.p50_ms, row.p95_ms, row.p99_ms, row.p99_low_ms, row.p99_high_ms) == (10, 10, 50, 45, 60)
    assert (row.throughput_rps, row.throughput_low_rps, row.throughput_high_rps) == (100, 80, 125)
    costs = [row.usd_per_million, row.usd_per_million_low, row.usd_per_million_high]
    assert costs == pytest.approx([1.0, 0.8, 1.25])
    assert (row.users, row.rate_rps, row.samples, row.error_rate) == (8, None, 1234, 0.005)
    assert (row.cpu_utilization, row.memory_mib, row.usd_per_hour) == (0.75, 300, 0.36)
    assert (row.backend, row.settings.threads, row.trial) == ("compiled", 2, "c5.large_compiled_t2_w1")
    assert (row.fidelity, row.warnings, row.reasons) == ("emulated", ("the generator was busy",), ())


def test_more_cpu_than_the_instance_has_is_shown_and_a_remote_server_has_none() -> None:
    assert only([trial(point(cpu_cores=2.5), on=instance(vcpus=2))]).cpu_utilization == 1.25
    far = only([trial(point(cpu_cores=None))])
    assert (far.cpu_utilization, far.memory_mib) == (None, None)


def test_a_trial_stands_at_the_cheapest_of_the_points_that_meet_the_limits() -> None:
    points = (point(60, 20, users=1), point(100, 40, users=2), point(120, 80, users=4))
    row = only([trial(*points)], Limits(p99_ms=50))
    assert (row.users, row.throughput_rps, row.reasons) == (2, 100, ())
    assert only([trial(*points)]).users == 4


def test_equal_throughput_goes_to_the_point_with_the_lower_p99() -> None:
    points = (point(100, None, users=1), point(100, 40, users=2), point(100, 30, users=3))
    assert only([trial(*points)]).users == 3


def test_a_trial_that_meets_the_limits_nowhere_is_rejected_at_its_nearest_point() -> None:
    points = (point(50, 312.44, users=4), point(40, 220.0, users=2), point(60, 900.0, users=8))
    ranking, rejected = rank([trial(*points)], Limits(p99_ms=200))
    assert ranking == ()
    assert [(row.rank, row.users, row.reasons) for row in rejected] == [
        (None, 2, ("p99 220.0 ms > 200 ms at 2 users",))
    ]
    assert rejected[0].throughput_rps == 40


def test_of_points_that_miss_by_the_same_the_one_with_fewer_misses_is_nearest() -> None:
    points = (point(50, 400.0, p50_ms=20, users=4), point(50, 400.0, p50_ms=5, users=2))
    row = only([trial(*points)], Limits(p99_ms=200, p50_ms=10))
    assert row.reasons == ("p99 400.0 ms > 200 ms at 2 users",)


def test_a_percentile_that_cannot_be_stated_is_farther_off_than_any_that_can() -> None:
    points = (point(50, None, users=1, samples=80), point(50, 999.0, users=4))
    assert only([trial(*points)], Limits(p99_ms=200)).users == 4
    assert only([trial(points[0])], Limits(p99_ms=200)).reasons == (
        "p99 not stated: 80 samples are too few at 1 user",
    )


def test_a_row_keeps_the_phase_that_it_was_taken_from() -> None:
    phases = [
        point(rps, spec=LoadSpec(url="http://127.0.0.1:1/invocations", users=4, stage=f"phase {number}"))
        for number, rps in enumerate((90.0, 110.0, 100.0), 1)
    ]
    row = only([trial(*phases)])
    assert (row.stage, row.throughput_rps) == ("phase 2", 110.0)


def test_a_failed_trial_is_rejected_with_its_failure_and_without_numbers() -> None:
    row = only([trial(point(), failure="the server died: out of memory")])
    assert row.reasons == ("the server died: out of memory",)
    assert (row.throughput_rps, row.usd_per_million, row.samples, row.rank) == (None, None, 0, None)


def test_a_trial_without_a_load_test_is_rejected() -> None:
    assert only([trial()]).reasons == ("no load test was recorded",)


def test_a_point_without_a_success_is_rejected_without_a_cost() -> None:
    row = only([trial(point(0.0, None, p50_ms=None, samples=0, error_rate=1.0))])
    assert row.reasons == ("no request succeeded at 4 users",)
    assert (row.usd_per_million, row.usd_per_million_low, row.usd_per_million_high) == (None, None, None)


def test_equal_cost_goes_to_the_lower_p99_then_the_name_then_the_backend_then_the_settings() -> None:
    first = trial(point(p99_ms=40), on=instance("z.large"))
    second = trial(point(p99_ms=50), on=instance("a.large"), backend="compiled", threads=1)
    third = trial(point(p99_ms=50), on=instance("a.large"), backend="compiled", threads=2)
    fourth = trial(point(p99_ms=50), on=instance("a.large"), backend="onnxruntime")
    fifth = trial(point(p99_ms=50), on=instance("b.large"))
    last = trial(point(p99_ms=None), on=instance("a.small"))
    ranking, _ = rank([last, fifth, fourth, third, second, first], FREE)
    assert [(row.instance_type, row.backend, row.settings.threads) for row in ranking] == [
        ("z.large", "compiled", 1),
        ("a.large", "compiled", 1),
        ("a.large", "compiled", 2),
        ("a.large", "onnxruntime", 1),
        ("b.large", "compiled", 1),
        ("a.small", "compiled", 1),
    ]


def test_rows_whose_cost_interval_meets_the_best_ones_are_tied_with_it_and_it_with_them() -> None:
    # At 0.36 USD/h: 1.00 [0.95, 1.05]; 1.08 [1.04, 1.12] overlaps; 1.25 [1.18, 1.33] does not.
    best = trial(point(100.0, rps_interval=(95.2, 105.3)), on=instance("a.large"))
    near = trial(point(92.6, rps_interval=(89.3, 96.2)), on=instance("b.large"))
    far = trial(point(80.0, rps_interval=(75.2, 84.7)), on=instance("c.large"))
    assert [row.tied_with_best for row in rank([far, near, best], FREE)[0]] == [True, True, False]
    assert [row.tied_with_best for row in rank([far, best], FREE)[0]] == [False, False]


def test_a_cost_without_an_upper_bound_is_tied_with_the_best() -> None:
    best = trial(point(100.0, rps_interval=(0.0, 300.0)), on=instance("a.large"))
    far = trial(point(10.0), on=instance("b.large"))
    ranking, _ = rank([best, far], FREE)
    assert ranking[0].usd_per_million_high is None
    assert [row.tied_with_best for row in ranking] == [True, True]


def test_a_doubtful_p99_and_a_burstable_price_are_warned_of() -> None:
    doubtful = trial(point(p99_ms=45, p99_interval=(40, 60)), on=instance("t3.large"))
    row = only([doubtful], Limits(p99_ms=50))
    assert row.reasons == ()
    assert ["p99 is 45.0 ms" in row.warnings[0], "burstable" in row.warnings[1]] == [True, True]
    rejected = only([trial(point(p99_ms=55, p99_interval=(40, 60)))], Limits(p99_ms=50))
    assert (len(rejected.reasons), len(rejected.warnings)) == (1, 1)


def test_a_load_test_that_its_generator_could_not_keep_up_with_is_warned_of_first() -> None:
    late = point(p99_ms=45).model_copy(update={"invalid_reasons": ("requests were sent late",)})
    assert only([trial(late)]).warnings[0] == "INVALID: requests were sent late"


LATE = {"invalid_reasons": ("requests were sent late",)}


def test_a_void_test_ranks_behind_every_valid_one_however_cheap_it_looks() -> None:
    cheap = trial(point(rps=900).model_copy(update=LATE), on=instance("c5.large"))
    dear, dearest = (
        trial(point(rps=50), on=instance("c6i.large")),
        trial(point(rps=20), on=instance("m5.large")),
    )
    ranking, _ = rank([cheap, dear, dearest], FREE)
    assert [(row.instance_type, row.rank, row.valid) for row in ranking] == [
        ("c6i.large", 1, True),
        ("m5.large", 2, True),
        ("c5.large", 3, False),
    ]
    assert ranking[2].invalid_reasons == ("requests were sent late",)
    assert not ranking[2].tied_with_best


def test_a_trial_stands_at_its_valid_point_though_a_void_one_looks_better() -> None:
    both = trial(point(rps=50), point(rps=900).model_copy(update=LATE))
    assert (only([both]).throughput_rps, only([both]).valid) == (50, True)


def test_void_rows_tie_with_nobody() -> None:
    void = [
        trial(point(rps=50).model_copy(update=LATE), on=instance(name)) for name in ("c5.large", "c6i.large")
    ]
    ranking, _ = rank(void, FREE)
    assert [row.tied_with_best for row in ranking] == [False, False]


def test_the_error_rate_limit_holds_unless_it_is_lifted() -> None:
    faulty = trial(point(error_rate=0.02))
    assert ranked_names(faulty, limits=Limits()) == []
    assert ranked_names(faulty, limits=FREE) == ["c5.large"]


def test_no_trials_is_no_ranking() -> None:
    assert rank([], FREE) == ((), ())


numbers = st.floats(1.0, 1000.0)


@st.composite
def load_tests(draw: st.DrawFn) -> LoadResult:
    rps = draw(numbers)
    p99_ms = draw(st.none() | numbers)
    width = draw(st.floats(0.0, 1.0))
    return point(
        rps,
        p99_ms,
        rps_interval=(rps * (1 - width), rps * (1 + width)),
        users=draw(st.integers(1, 8)),
        error_rate=draw(st.sampled_from([0.0, 0.005, 0.5])),
    )


@st.composite
def trial_lists(draw: st.DrawFn) -> list[Trial]:
    """Trials of different candidates; equal throughputs and prices are likely, so that ties are met."""
    types: list[InstanceType] = [
        instance(name, usd) for name, usd in (("a.l", 0.1), ("b.l", 0.1), ("c.l", 0.2))
    ]
    places = st.tuples(
        st.sampled_from(types), st.sampled_from(["onnxruntime", "compiled"]), st.integers(1, 2)
    )
    chosen = draw(st.lists(places, max_size=6, unique_by=lambda place: (place[0].instance_type, *place[1:])))
    same = draw(load_tests())
    return [
        trial(
            *draw(st.lists(st.just(same) | load_tests(), max_size=3)),
            on=on,
            backend="compiled" if backend == "compiled" else "onnxruntime",
            threads=threads,
            failure=draw(st.none() | st.none() | st.just("died")),
        )
        for on, backend, threads in chosen
    ]


limits_met_by_some = st.builds(
    Limits,
    p99_ms=st.none() | numbers,
    throughput_rps=st.none() | numbers,
    error_rate=st.sampled_from([None, 0.0, 0.01]),
    usd_per_hour=st.sampled_from([None, 0.15]),
)
FEW = settings(max_examples=60, deadline=None, database=None)


@FEW
@given(trial_lists(), limits_met_by_some, st.randoms(use_true_random=False))
def test_the_order_of_the_trials_does_not_matter(trials: list[Trial], limits: Limits, random: Random) -> None:
    shuffled = list(trials)
    random.shuffle(shuffled)
    assert rank(shuffled, limits) == rank(trials, limits)


@FEW
@given(trial_lists(), limits_met_by_some)
def test_every_trial_is_in_exactly_one_list_with_ranks_from_1_and_reasons_in_the_other(
    trials: list[Trial], limits: Limits
) -> None:
    ranking, rejected = rank(trials, limits)
    keys = sorted(one.candidate.key for one in trials)
    assert sorted(row.trial for row in (*ranking, *rejected)) == keys
    assert [row.rank for row in ranking] == list(range(1, len(ranking) + 1))
    assert all(not row.reasons for row in ranking)
    assert all(row.reasons and row.rank is None for row in rejected)


@FEW
@given(trial_lists(), limits_met_by_some)
def test_what_is_dominated_in_cost_and_p99_never_comes_before(trials: list[Trial], limits: Limits) -> None:
    ranking, _ = rank(trials, limits)
    for earlier, later in itertools.combinations(ranking, 2):
        assert earlier.usd_per_million is not None
        assert later.usd_per_million is not None
        earlier_p99, later_p99 = earlier.p99_ms or float("inf"), later.p99_ms or float("inf")
        assert not (later.usd_per_million < earlier.usd_per_million)
        assert not (later.usd_per_million == earlier.usd_per_million and later_p99 < earlier_p99)


@FEW
@given(trial_lists(), limits_met_by_some)
def test_a_ranked_row_meets_every_limit_and_no_faster_point_of_its_trial_does(
    trials: list[Trial], limits: Limits
) -> None:
    by_key = {one.candidate.key: one for one in trials}
    for row in rank(trials, limits)[0]:
        good = [
            each.throughput_rps.value
            for each in by_key[row.trial].points
            if (limits.p99_ms is None or (each.percentile_ms(99.0) or float("inf")) <= limits.p99_ms)
            and (limits.throughput_rps is None or each.throughput_rps.value >= limits.throughput_rps)
            and (limits.error_rate is None or each.error_rate <= limits.error_rate)
        ]
        assert row.throughput_rps == max(good)
        assert limits.usd_per_hour is None or row.usd_per_hour <= limits.usd_per_hour


class FewestFailures:
    """Ranks by the share of requests that failed, and nothing is uncertain."""

    def value(self, row: Row) -> float:
        return row.error_rate or 0.0

    def interval(self, row: Row) -> tuple[float, float]:
        return self.value(row), self.value(row)

    def gain(self, point: LoadResult) -> float:
        return -point.error_rate


def test_another_objective_gives_another_order() -> None:
    cheap = trial(point(200, error_rate=0.009), threads=1)
    sound = trial(point(100, error_rate=0.0), point(150, users=8, error_rate=0.005), threads=2)
    by_cost, _ = rank([cheap, sound], Limits())
    by_failures, _ = rank([cheap, sound], Limits(), FewestFailures())
    assert [row.settings.threads for row in by_cost] == [1, 2]
    assert [(row.settings.threads, row.error_rate) for row in by_failures] == [(2, 0.0), (1, 0.009)]
