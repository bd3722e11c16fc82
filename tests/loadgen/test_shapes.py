from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.load_spec import LoadSpec, Phase, Stairs
from modeldyno.loadgen.run import run_load
from modeldyno.loadgen.spec.stages import (
    cut,
    parse_phases,
    parse_shape,
    parse_stairs,
    planned_s,
    planned_stages,
    stages_of_shape,
    users_at,
)
from tests.loadgen.stub import PAYLOAD, stub_server

PHASES = LoadSpec(url="u", warmup_s=10, phases=parse_phases("1:2:120,4:0:60"))
STAIRS = LoadSpec(url="u", warmup_s=10, stairs=parse_stairs("steps=3,users=2,seconds=30"))


def test_the_command_line_says_phases_and_stairs() -> None:
    assert PHASES.phases == (
        Phase(initial_users=1, spawn_per_min=2, duration_s=120),
        Phase(initial_users=4, spawn_per_min=0, duration_s=60),
    )
    assert STAIRS.stairs == Stairs(steps=3, users_per_step=2, step_s=30)
    assert (planned_s(PHASES), planned_s(STAIRS)) == (180, 90)


def test_users_of_a_phase_join_one_by_one_and_the_next_phase_has_its_own() -> None:
    stages = planned_stages(PHASES)
    # Two a minute: the first comes after 30 s, the fourth and last at the end.
    found = [users_at(stages, 10 + s) for s in (-5, 0, 29.9, 30, 59, 60, 90, 119.9, 120, 179, 200)]
    assert found == [1, 1, 1, 2, 2, 3, 4, 4, 4, 4, 4]
    assert [stage.name for stage in stages] == ["phase 1 (1 to 5 users)", "phase 2 (4 users)"]


def test_half_a_user_a_minute_never_becomes_one_within_a_minute() -> None:
    (stage,) = planned_stages(LoadSpec(url="u", phases=parse_phases("4:0.5:60")))
    assert (stage.users_from, stage.users_to) == (4, 4)


def test_stairs_have_as_many_more_users_at_each_step() -> None:
    stages = planned_stages(STAIRS)
    assert [users_at(stages, 10 + s) for s in (-10, 0, 29.9, 30, 59.9, 60, 500)] == [2, 2, 2, 4, 4, 6, 6]
    assert [(stage.start_s, stage.counted_from_s, stage.end_s) for stage in stages] == [
        (10, 13, 40),
        (40, 43, 70),
        (70, 73, 100),
    ]


def test_a_test_that_ended_early_has_the_stages_that_it_reached() -> None:
    stages = cut(planned_stages(PHASES), 10 + 61)
    assert [(stage.end_s, stage.users_to) for stage in stages] == [(71, 3)]
    assert [stage.end_s for stage in cut(planned_stages(STAIRS), 45)] == [40, 45]
    # Nothing of a step counts in its first tenth.
    assert [stage.end_s for stage in cut(planned_stages(STAIRS), 42)] == [40]


def test_a_stage_is_a_spec_of_its_own() -> None:
    spec = planned_stages(PHASES)[0].spec(PHASES)
    assert (spec.users, spec.stage, spec.phases) == (5, "phase 1 (1 to 5 users)", ())
    assert (spec.warmup_s, spec.duration_s) == (22, 108)
    spec = planned_stages(STAIRS)[2].spec(STAIRS)
    assert (spec.users, spec.stage, spec.stairs) == (6, "", None)


def test_a_shapes_longer_stretches_are_its_stages() -> None:
    stages = stages_of_shape([(1.0, 4), (6.0, 9), (7.0, 0), (20.0, 2)], 30.0)
    assert [(stage.start_s, stage.end_s, stage.users_to) for stage in stages] == [(1, 6, 4), (20, 30, 2)]
    assert stages_of_shape([], 30.0) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1:2", "'1:2' is no USERS:PER_MINUTE:SECONDS"),
        ("1:2:3,,", "'' is no USERS"),
        ("0:1:5", "initial_users: Input should be greater than or equal to 1, found '0'"),
        ("1:-1:5", "spawn_per_min: Input should be greater than or equal to 0"),
        ("1:1:0", "duration_s: Input should be greater than 0"),
        ("1:nan:5", "spawn_per_min"),
        ("one:1:5", "initial_users: "),
    ],
)
def test_wrong_phases_are_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match="`phases`") as caught:
        parse_phases(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "5", "steps=2,users=1", "steps=2,users=1,seconds=9,more=1", "steps=2,steps=3,users=1,seconds=9",
     "steps=0,users=1,seconds=9", "steps=2,users=x,seconds=9", "steps=2,users=1,seconds=inf"],
)  # fmt: skip
def test_wrong_stairs_are_told(text: str) -> None:
    with pytest.raises(ConfigError, match="`stairs`"):
        parse_stairs(text)


def test_a_shape_is_a_file_that_is_there_and_a_class(tmp_path: Path) -> None:
    file = tmp_path / "my.py"
    file.touch()
    assert parse_shape(f"{file}:Wave") == f"{file}:Wave"
    for text in (f"{file}", f"{file}:", f"{file}:not a name", f"{tmp_path}/none.py:Wave", ":Wave"):
        with pytest.raises(ConfigError, match="`load_shape`"):
            parse_shape(text)


def test_a_shape_that_asks_for_more_users_than_there_can_be_is_refused(tmp_path: Path) -> None:
    shape = tmp_path / "endless.py"
    shape.write_text(
        "from locust import LoadTestShape\n"
        "class Endless(LoadTestShape):\n"
        "    def tick(self): return 10_000_000, 1\n"
    )
    with stub_server(tmp_path) as server:
        spec = LoadSpec(url=server.url, shape=f"{shape}:Endless", duration_s=5)
        with pytest.raises(ConfigError, match="asked for 10000000 users: there can be"):
            run_load(spec, PAYLOAD)
