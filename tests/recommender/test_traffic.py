"""The `traffic` of a job, and what the command line says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from modeldyno.base.errors import ConfigError
from modeldyno.recommender.cli import default_output, recommend_command
from modeldyno.recommender.job.find_rate import FindRate
from modeldyno.recommender.job.given import with_given
from modeldyno.recommender.job.job import Job, load_job
from modeldyno.recommender.job.load_section import Load
from modeldyno.recommender.job.traffic_section import Traffic, parse_traffic
from tests.recommender.tiny import SMALLEST, write_model


def write(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("40", {"rate_rps": 40.0}),
        ("day=40, night=5", {"day": 40.0, "night": 5.0}),
        ("0=5,8=40,20=5", {"curve": {0: 5.0, 8: 40.0, 20: 5.0}}),
        ("seen.csv", {"trace": "seen.csv"}),
    ],
)
def test_a_text_is_one_of_four_kinds(text: str, fields: dict[str, Any]) -> None:
    assert parse_traffic(text) == fields


@pytest.mark.parametrize("text", ["", "many", "day=", "noon=4", "day=1,day=2", "day=4,12=3"])
def test_any_other_text_is_an_error_that_names_the_kinds(text: str) -> None:
    with pytest.raises(ConfigError, match="`traffic`"):
        parse_traffic(text)


def test_a_day_is_8_to_20_o_clock() -> None:
    hourly = Traffic(day=40, night=5).hourly
    assert hourly[7:9] == (5, 40)
    assert hourly[19:21] == (40, 5)
    assert sum(hourly) == 12 * 40 + 12 * 5
    assert Traffic(curve={0: 5, 8: 40, 20: 5}).hourly == hourly


def test_a_curve_goes_on_over_midnight() -> None:
    assert Traffic(curve={6: 10, 22: 1}).hourly[:7] == (1,) * 6 + (10,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "traffic needs rate_rps"),
        ({"rate_rps": 4, "day": 4, "night": 1}, "rate_rps and day exclude each other"),
        ({"day": 4}, "give both"),
        ({"day": 0, "night": 0}, "there is no request"),
        ({"curve": {24: 1}}, "less than 24"),
        ({"rate_rps": -1}, "greater than 0"),
    ],
)
def test_what_does_not_go_together_is_said(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Traffic.model_validate(fields)


def test_a_job_file_has_it_and_each_candidate_is_searched_for_its_rate(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, "traffic: {curve: {0: 5, 8: 40}, spare: 0}\nlimits: {p99_ms: 100}\n"))
    assert job.traffic == Traffic(curve={0: 5, 8: 40}, spare=0)
    assert job.load.find_rate == FindRate()
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_a_load_of_the_job_stays(tmp_path: Path) -> None:
    job = load_job(
        write(tmp_path, "traffic: {rate_rps: 4}\nlimits: {p99_ms: 100}\nload: {users: [3], warmup_s: 1}\n")
    )
    assert (job.load.users, job.load.find_rate) == ((3,), None)
    kept = load_job(write(tmp_path, "traffic: {rate_rps: 4}\nlimits: {p99_ms: 9}\nload: {warmup_s: 1}\n"))
    assert (kept.load.find_rate, kept.load.warmup_s) == (FindRate(), 1)


def test_without_a_limit_on_latency_there_is_nothing_to_search_for() -> None:
    assert Job(traffic=Traffic(rate_rps=4)).load.find_rate is None


def test_the_place_of_a_mistake_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"job\.yaml:3: traffic\.night: .*or equal to 0"):
        load_job(write(tmp_path, "traffic:\n  day: 4\n  night: -4\n"))
    with pytest.raises(ConfigError, match=r"job\.yaml:2: traffic\.trace: there is no file"):
        load_job(write(tmp_path, "traffic:\n  trace: gone.csv\n"))


def test_the_command_line_replaces_the_kind_and_keeps_the_rest() -> None:
    job = Job(traffic=Traffic(rate_rps=4, spare=2), load=Load(warmup_s=1))
    found = with_given(
        job, instances=("c7a.*",), traffic=parse_traffic("day=40,night=5"), limits={"p99_ms": 100}
    )
    assert found.traffic == Traffic(day=40, night=5, spare=2)
    assert found.candidates.instance_types == ("c7a.*",)
    assert (found.limits.p99_ms, found.limits.error_rate) == (100, 0.01)
    assert (found.load.find_rate, found.load.warmup_s) == (FindRate(), 1)
    assert with_given(job) is job


def test_what_the_command_line_gives_must_go_together() -> None:
    with pytest.raises(ConfigError, match=r"traffic.*give both"):
        with_given(Job(), traffic=parse_traffic("day=40"))


def test_a_first_try_needs_no_file_and_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "m.onnx")
    asked = ("--instance", SMALLEST, "--traffic", "day=40,night=5", "--limit", "p99_ms=100", "--dry-run")
    found = CliRunner().invoke(recommend_command, ["m.onnx", *asked])
    assert found.exit_code == 0, found.output
    assert "search of the highest rate" in found.output
    assert f"would measure: {SMALLEST} onnxruntime" in found.output
    assert list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]
    assert str(default_output(Path("some/m.onnx"))).startswith("runs/m-20")


def test_spare_instances_need_traffic() -> None:
    with pytest.raises(ConfigError, match="traffic needs rate_rps"):
        with_given(Job(), traffic={"spare": 2})


def test_a_trace_that_cannot_be_read_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx")
    gone = tmp_path / "gone.csv"
    asked = ("--traffic", str(gone), "--limit", "p99_ms=100", "--dry-run", "-o", str(tmp_path / "run"))
    found = CliRunner().invoke(recommend_command, [str(tmp_path / "m.onnx"), *asked])
    assert isinstance(found.exception, ConfigError)
    assert str(found.exception).startswith(f"cannot read {gone}")
