from __future__ import annotations

from pathlib import Path

import pytest

from dyno.errors import ConfigError
from recommender.job import Job, Load, load_job


def write(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text)
    return path


def problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_job(write(folder, text))
    return str(caught.value).removeprefix(f"{folder}/")


@pytest.mark.parametrize("text", ["", "# nothing\n", "load:\n", "{}"])
def test_an_empty_job_has_the_defaults(tmp_path: Path, text: str) -> None:
    job = load_job(write(tmp_path, text))
    assert job == Job()
    assert [level["users"] for level in job.load.levels()] == [1, 2, 4]


def test_a_full_job_is_read(tmp_path: Path) -> None:
    (tmp_path / "more.csv").touch()
    job = load_job(
        write(
            tmp_path,
            """
candidates: {backends: [compiled], instance_types: ['c7*'], threads: [auto, 2], workers: [1, 2]}
load: {rate_rps: [5, 7.5], arrival: constant, warmup_s: 0, duration_s: 3, timeout_s: 1}
limits: {p99_ms: 200, error_rate: 0.5}
compile: {target: host, shapes: {input: [1, 3, 224, 224]}}
catalog: more.csv
server: {startup_timeout_s: 5}
seed: 7
""",
        )
    )
    assert job.candidates.threads == ("auto", 2)
    assert job.limits.p99_ms == 200
    assert job.compile.shapes == {"input": (1, 3, 224, 224)}
    assert job.catalog == tmp_path / "more.csv"  # beside the job file, wherever the command runs
    assert job.load.seconds() == 2 * 3.0
    specs = job.load.specs("http://x/invocations", job.seed)
    assert [(spec.users, spec.rate_rps, spec.arrival, spec.seed) for spec in specs] == [
        (None, 5.0, "constant", 7),
        (None, 7.5, "constant", 7),
    ]


def test_phases_and_stairs_are_one_load_test_of_several_levels(tmp_path: Path) -> None:
    phases = "load: {phases: [{initial_users: 1, spawn_per_min: 2, duration_s: 120}, {initial_users: 4, "
    job = load_job(write(tmp_path, phases + "duration_s: 60}], warmup_s: 5}\n"))
    (spec,) = job.load.specs("http://x/invocations", job.seed)
    assert (spec.users, spec.rate_rps) == (None, None)
    assert [phase.initial_users for phase in spec.phases] == [1, 4]
    assert job.load.seconds() == 5 + 120 + 60
    job = load_job(write(tmp_path, "load: {stairs: {steps: 3, users_per_step: 2, step_s: 30}}\n"))
    assert job.load.specs("http://x/invocations", job.seed)[0].stairs == job.load.stairs
    assert job.load.seconds() == 2 + 90


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    text = "load:\n  users: [1]\ncandidates:\n  workers: [1]\n  thread: [2]\n"
    assert problem(tmp_path, text) == "job.yaml:5: candidates.thread: unknown key 'thread'; nearest: threads"


def test_an_unknown_section_is_told_with_its_line(tmp_path: Path) -> None:
    assert problem(tmp_path, "seed: 1\nlimit: {p99_ms: 1}\n") == (
        "job.yaml:2: limit: unknown key 'limit'; nearest: limits"
    )


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problem(tmp_path, "load:\n  users: []\n  duration_s: soon\nseed: -1\n").splitlines()
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[:2] for line in found] == [
        ["job.yaml:2", "load.users"],
        ["job.yaml:3", "load.duration_s"],
        ["job.yaml:4", "seed"],
    ]
    assert "must not be empty" in found[0]
    assert found[1].endswith("should be a valid number, found 'soon'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "candidates:\n  threads: [1, all]\n",
            ":2: candidates.threads.1: should be a valid integer or should be 'auto', found 'all'",
        ),
        ("candidates:\n  threads: [true]\n", ":2: candidates.threads.0: "),
        ("load:\n  users: ['2']\n", ":2: load.users.0: should be a valid integer, found '2'"),
        ("load:\n  users: [1]\n  rate_rps: [1]\n", ":3: load.rate_rps: users (closed loop) and rate_rps"),
        (
            "load:\n  users: [1]\n  stairs: {steps: 2, users_per_step: 1, step_s: 9}\n",
            ":3: load.stairs: users and stairs exclude each other: give one",
        ),
        (
            "load:\n  stairs: {steps: 2, users_per_step: 1, step_s: 9}\n  duration_s: 5\n",
            ":3: load.duration_s: stairs say how long they last: leave out duration_s",
        ),
        ("load:\n  stop_when: [p99<5ms]\n", ":2: load.stop_when: stop rule 'p99<5ms': expected p99>50ms"),
        ("load:\n  stop_when: [flat]\n", ":2: load.stop_when: flat: flat needs a number of users that grows"),
        (
            "load:\n  phases:\n    - {initial_users: 0, duration_s: 9}\n",
            ":3: load.phases.0.initial_users: should be greater than or equal to 1, found 0",
        ),
        ("load: 3\n", ":1: load: should be keys and values, found 3"),
        ("load:\n  duration_s: .inf\n", ":2: load.duration_s: "),
        ("compile:\n  shapes:\n    x: [1, 0]\n", ":3: compile.shapes.x.1: '0': sizes are positive"),
        (
            "candidates:\n  backends:\n    - tvm\n",
            ":3: candidates.backends.0: should be 'onnxruntime' or 'compiled', found 'tvm'",
        ),
        ("- 1\n", ":1: expected keys and values, found a list"),
        ("seed: 1\nload: [\n", ":3: no valid YAML"),
        ("seed: 1\nseed: 2\n", ":2: key 'seed' stands in line 1 already"),
        ("seed: &a 1\nb: *a\n", ":2: aliases (*name) are not supported"),
        ("2024-01-01: 3\n", ": no valid YAML"),
        ("a: " + "[" * 2000 + "]" * 2000, ":1: nested too deeply"),
        ("catalog: none.csv\n", ":1: catalog: there is no file "),
    ],
)
def test_a_wrong_value_is_told_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text).startswith(f"job.yaml{expected}")


def test_a_missing_job_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*job\.yaml: No such file"):
        load_job(tmp_path / "job.yaml")


def test_every_field_has_a_description() -> None:
    schema = Job.model_json_schema()
    sections = [schema["$defs"][name] for name in ("CandidateSpace", "Load", "Compile", "Server")]
    missing = [
        name
        for section in sections
        for name, field in section["properties"].items()
        if "description" not in field
    ]
    assert missing == []


def test_a_longest_window_below_the_shortest_is_refused_and_none_follows_it(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("load: {duration_s: 100, max_duration_s: 10}\n")
    with pytest.raises(ConfigError, match=r"max_duration_s \(10\) is shorter than duration_s \(100\)"):
        load_job(path)
    assert Load(duration_s=100).longest_s == 100
    assert Load(duration_s=10).longest_s == 60
