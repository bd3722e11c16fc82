"""Real Locust runs whose users change in number, against a server that sleeps 20 ms.

By Little's law n users of such a server get at most 50 n answers a second, and nearly as many.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.base.records.record import read_record, write_record
from modeldyno.loadgen.display import print_result
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.spec.stages import parse_phases, parse_stairs
from tests.loadgen.stub import PAYLOAD, stub_server

SHAPES = """
from locust import LoadTestShape
import beside

class Two(LoadTestShape):
    def tick(self):
        if self.get_run_time() > beside.END_S:
            return None
        return (2, 50) if self.get_run_time() < 3 else (8, 50)

class Broken(LoadTestShape):
    def tick(self):
        if self.get_run_time() > 0.5:
            raise ZeroDivisionError("no such luck")
        return 1, 1

class Picky(LoadTestShape):
    def tick(self):
        return 1, 1, [object]
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[LoadResult]]:
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "shapes.py").write_text(SHAPES)
    (folder / "beside.py").write_text("END_S = 6\n")
    kinds: dict[str, dict[str, object]] = {
        "stairs": {"stairs": parse_stairs("steps=2,users=3,seconds=3")},
        "phases": {"phases": parse_phases("6:0:2,2:60:4")},
        "shape": {"shape": f"{folder}/shapes.py:Two", "duration_s": 60.0},
        "broken": {"shape": f"{folder}/shapes.py:Broken"},
        "picky": {"shape": f"{folder}/shapes.py:Picky"},
        "none": {"shape": f"{folder}/shapes.py:Three"},
    }

    def one(fields: dict[str, object]) -> LoadResult:
        with stub_server(tmp_path_factory.mktemp("stub"), "--service-ms", "20") as server:
            spec = LoadSpec.model_validate({"url": server.url, "warmup_s": 0.5, **fields})
            return run_load(spec, PAYLOAD)

    with ThreadPoolExecutor(6) as threads:
        return {name: threads.submit(one, fields) for name, fields in kinds.items()}


def users(stage: LoadResult) -> float:
    """By Little's law: rate times latency."""
    assert stage.mean_ms is not None
    return stage.throughput_rps.value * stage.mean_ms / 1000


def test_each_step_of_stairs_has_its_own_users_and_throughput(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["stairs"].result()
    first, second = result.stages
    assert (first.spec.users, second.spec.users) == (3, 6)
    assert [users(first), users(second)] == pytest.approx([3, 6], rel=0.1)
    assert first.throughput_rps.value <= 150 * 1.02
    assert second.throughput_rps.value <= 300 * 1.02
    assert first.window_s == second.window_s == pytest.approx(2.7)
    assert result.window_s == 6
    # All that a stage counts is in the whole, which counts the first tenth of each too.
    assert 0 < first.samples + second.samples < result.samples
    for stage in result.stages:
        assert stage.percentile_ms(50.0) is not None
        assert stage.server is not None
        assert stage.server.samples > 0
        assert stage.errors == 0


def test_users_who_are_too_many_leave_without_losing_a_request(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["phases"].result()
    many, few = result.stages
    assert (many.spec.stage, few.spec.stage) == ("phase 1 (6 users)", "phase 2 (2 to 6 users)")
    assert result.errors == 0
    assert not any("never came to an end" in reason for reason in result.invalid_reasons)
    # Of the second phase 3.6 s count: two users in the first 0.6 s of them, then one more each second,
    # (0.6 2 + 3 + 4 + 5) / 3.6 = 3.67 on average.
    assert users(many) == pytest.approx(6, rel=0.1)
    assert users(few) == pytest.approx(3.67, rel=0.15)


def test_the_time_line_of_a_stage_is_its_own(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["stairs"].result()
    assert [point.second for point in result.stages[1].timeline] == [3, 4, 5, 6]
    assert [point.second for point in result.timeline] == [0, 1, 2, 3, 4, 5, 6]


def test_the_time_line_says_how_many_users_there_were(runs: dict[str, Future[LoadResult]]) -> None:
    found = [point.users for point in runs["stairs"].result().timeline]
    assert found[0] == 3
    assert found[-1] == 6
    assert sorted(found, key=str) == found
    assert [point.users for point in runs["stairs"].result().stages[1].timeline][-1] == 6


def test_a_shape_of_the_users_own_is_run_until_it_returns_none(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["shape"].result()
    assert [stage.spec.users for stage in result.stages] == [2, 8]
    assert 6 <= result.window_s < 30
    assert [users(stage) for stage in result.stages] == pytest.approx([2, 8], rel=0.15)


def test_the_whole_of_a_staged_test_says_that_it_mixes(runs: dict[str, Future[LoadResult]]) -> None:
    result = runs["stairs"].result()
    assert any("mix its stages" in warning for warning in result.warnings)
    assert not any("mix its stages" in warning for warning in result.stages[0].warnings)


def test_the_table_has_a_line_for_each_stage(
    runs: dict[str, Future[LoadResult]], capsys: pytest.CaptureFixture[str]
) -> None:
    result = runs["stairs"].result()
    print_result(result)
    lines = capsys.readouterr().out.splitlines()
    assert "closed loop, stairs of 2 steps, 3 more users each, 3 s each" in lines[0]
    assert [line.split()[:2] for line in lines[3:5]] == [["3", "users"], ["6", "users"]]
    assert f"{result.stages[1].throughput_rps.value:.4g}" in lines[4]
    assert lines[4].split()[-2:] == [str(result.stages[1].samples), "0"]


def test_a_staged_result_survives_its_file(runs: dict[str, Future[LoadResult]], tmp_path: Path) -> None:
    write_record(tmp_path / "result.json", runs["phases"].result())
    assert read_record(tmp_path / "result.json", LoadResult) == runs["phases"].result()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken", "the shape raised ZeroDivisionError: no such luck"),
        ("picky", "names user classes"),
        ("none", "no LoadTestShape of that name; there are: Two, Broken, Picky"),
    ],
)
def test_a_shape_that_fails_is_told(runs: dict[str, Future[LoadResult]], name: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        runs[name].result()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"users": 1, "stairs": parse_stairs("steps=2,users=3,seconds=3")},
        {"phases": parse_phases("1:0:1"), "shape": "x.py:Y"},
        {"rate_rps": 5, "phases": parse_phases("1:0:1")},
        {"stairs": parse_stairs("steps=1000,users=1000,seconds=3")},
        {"stairs": parse_stairs("steps=1000,users=1,seconds=3000")},
    ],
)
def test_stages_that_cannot_be_run_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        run_load(LoadSpec.model_validate({"url": "http://127.0.0.1:1", **fields}), PAYLOAD)
