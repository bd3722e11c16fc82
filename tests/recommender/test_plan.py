from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.search.durations import estimate_s, most_s
from modeldyno.recommender.search.full_product import FullProduct, instance_types
from modeldyno.trials.providers.local import serve_command

HOST = host_facts().model_copy(update={"architecture": "x86_64", "usable_cores": 2})


def job(**candidates: object) -> Job:
    return Job.model_validate({"candidates": candidates})


def names(found: Job, cores: int = 2, architecture: str = "x86_64") -> list[str]:
    host = HOST.model_copy(update={"architecture": architecture, "usable_cores": cores})
    return [each.instance_type for each in instance_types(found, host)]


def test_every_combination_is_planned_once() -> None:
    space = job(instance_types=["c7a.medium", "c7a.*dium", "c7a.large"], threads=[1, "auto"], workers=[1])
    keys = [each.candidate.key for each in FullProduct().plan(space, ("onnxruntime", "compiled"), HOST)]
    # auto is 1 on the medium, which is there already
    assert sorted(keys) == [
        "c7a.large_compiled_t1_w1",
        "c7a.large_compiled_t2_w1",
        "c7a.large_onnxruntime_t1_w1",
        "c7a.large_onnxruntime_t2_w1",
        "c7a.medium_compiled_t1_w1",
        "c7a.medium_onnxruntime_t1_w1",
    ]


def test_workers_share_the_vcpus_of_the_instance() -> None:
    space = job(instance_types=["c7a.xlarge"], workers=[1, 2, 3, 8])
    settings = [each.candidate.settings for each in FullProduct().plan(space, ("onnxruntime",), HOST)]
    assert sorted((each.workers, each.threads) for each in settings) == [(1, 4), (2, 2), (3, 1), (8, 1)]


def test_what_the_job_says_of_its_rows_reaches_the_server(tmp_path: Path) -> None:
    for said in (False, True):
        found = Job.model_validate({"server": {"rows_independent": said}})
        candidate = FullProduct().plan(found, ("onnxruntime",), HOST)[0].candidate
        assert ("--rows-independent" in serve_command(tmp_path, candidate, (0,), tmp_path)) is said


def test_the_drain_delay_of_a_job_is_its_servers_and_is_recorded(tmp_path: Path) -> None:
    found = Job.model_validate({"server": {"drain_delay_s": 1.5}})
    candidate = FullProduct().plan(found, ("onnxruntime",), HOST)[0].candidate
    assert "--drain-delay=1.5" in serve_command(tmp_path, candidate, (0,), tmp_path)
    assert candidate.settings.drain_delay_s == 1.5


def test_processes_and_batches_are_axes_and_a_delay_tells_apart_only_what_batches() -> None:
    space = job(
        instance_types=["c7a.xlarge"],
        processes=[1, 2],
        max_batch=[1, 8],
        batch_delay_ms=[0, 2.5],
        workers=[1],
    )
    keys = sorted(each.candidate.key for each in FullProduct().plan(space, ("compiled",), HOST))
    assert keys == [
        "c7a.xlarge_compiled_t2_w1_p2",
        "c7a.xlarge_compiled_t2_w1_p2_b8",
        "c7a.xlarge_compiled_t2_w1_p2_b8_d2.5",
        "c7a.xlarge_compiled_t4_w1",
        "c7a.xlarge_compiled_t4_w1_b8",
        "c7a.xlarge_compiled_t4_w1_b8_d2.5",
    ]


def test_the_longest_counts_late_starts_long_windows_and_late_answers() -> None:
    load = {"rate_rps": [1, 2], "warmup_s": 2, "duration_s": 10, "max_duration_s": 30, "timeout_s": 5}
    found = Job.model_validate({"load": load, "server": {"startup_timeout_s": 20}})
    # Each in two starts, and each load test twice where it is void.
    assert most_s(found, 3) == 3 * 2 * (20 + 2 * 2 * (2 + 30 + 5 + 2))
    search = {"find_rate": {"max_tests": 4}, "warmup_s": 2, "max_duration_s": 30, "timeout_s": 5}
    found = Job.model_validate({"load": search, "limits": {"p95_ms": 9}, "server": {"startup_timeout_s": 20}})
    # Four tests, the closed loop before them, the confirmation behind; then two starts that confirm it again.
    assert most_s(found, 1) == 20 + 6 * (2 + 30 + 5 + 2) + 2 * (20 + 2 * (2 + 30 + 5 + 2))


def test_the_order_is_shuffled_by_the_seed() -> None:
    def order(seed: int) -> list[str]:
        space = {"instance_types": ["c7?.large", "m7?.large", "c7?.xlarge"]}
        shuffled = Job.model_validate({"candidates": space, "seed": seed})
        return [each.candidate.key for each in FullProduct().plan(shuffled, ("compiled",), HOST)]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1))
    assert order(0) != sorted(order(0))


def test_without_names_a_few_types_that_fit_this_host_are_taken() -> None:
    assert names(Job(), cores=1) == ["c7a.medium"]
    assert names(Job(), cores=2) == ["c7a.medium", "c7a.large", "c7i.large"]
    assert names(Job(), cores=64, architecture="aarch64") == ["c7g.medium", "c7g.large", "c7g.xlarge"]


def test_named_types_stay_even_where_this_host_is_too_small() -> None:
    assert names(job(instance_types=["c7a.4xlarge"])) == ["c7a.4xlarge"]


@pytest.mark.parametrize("name", ["c7a.lage", "c7a.lage*"])
def test_an_unknown_type_is_told_with_the_nearest_names(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown instance type .*nearest: .*c7a\.large"):
        names(job(instance_types=[name]))


def test_the_users_own_types_are_candidates_too(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("instance_type,architecture,vcpus,memory_gib,usd_per_hour\nmine.small,x86_64,1,2,0.01\n")
    own = Job.model_validate({"candidates": {"instance_types": ["mine.*"]}, "catalog": table})
    assert names(own) == ["mine.small"]


def test_the_estimate_counts_each_load_level_of_each_trial() -> None:
    load = {"users": [1, 2, 4], "warmup_s": 2, "duration_s": 10}
    three_levels = Job.model_validate({"load": load})
    assert estimate_s(three_levels, 4) == 4 * (1 + 3 * (2 + 10 + 2))


def test_the_estimate_counts_each_start_and_a_window_that_is_long_enough_for_its_samples() -> None:
    load = {"rate_rps": [10, 100], "warmup_s": 2, "duration_s": 10, "min_samples": 200}
    twice = Job.model_validate({"load": load})
    start_s = 1 + (2 + 21 + 2) + (2 + 10 + 2)
    assert estimate_s(twice, 4) == 4 * 2 * start_s
    assert estimate_s(Job.model_validate({"load": {**load, "rounds": 3}}), 4) == 4 * 3 * start_s
    # All first starts, and one second one, are done.
    assert estimate_s(twice, 4, done=5) == 3 * start_s


def test_a_search_is_confirmed_in_windows_of_ten_seconds() -> None:
    load = {"find_rate": {"max_tests": 4}, "warmup_s": 2, "duration_s": 5}
    found = Job.model_validate({"load": load, "limits": {"p95_ms": 9}})
    search_s, confirm_s = 1 + 3 + 4 * (2 + 5 + 2), 1 + 2 + 10 + 2
    assert estimate_s(found, 3) == 3 * (search_s + 2 * confirm_s)


def test_scenarios_and_long_stages_are_measured_once_unless_the_job_says_so() -> None:
    def times(**load: object) -> int:
        return Job.model_validate({"load": load, "limits": {"p99_ms": 9}}).load.times

    assert times(rate_rps=[1]) == times(find_rate={}) == 2
    assert times(scenario="Offline") == times(stairs={"steps": 5, "users_per_step": 1, "step_s": 25}) == 1
    assert times(stairs={"steps": 4, "users_per_step": 1, "step_s": 25}) == 2
    assert times(scenario="Offline", rounds=3) == 3
    assert times(users=[1], stop_when=["errors>5%"]) == 2
