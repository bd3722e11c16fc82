from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.recommender.job.fields import shape_text
from modeldyno.recommender.job.job import Job, Load, load_job, with_shapes
from modeldyno.recommender.search.durations import load_s


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
limits: {p90_ms: 150, p99_ms: 200, p99.9_ms: 300, error_rate: 0.5}
compile: {target: host, shapes: {input: [1, 3, 224, 224]}}
catalog: more.csv
server: {startup_timeout_s: 5}
seed: 7
""",
        )
    )
    assert job.candidates.threads == ("auto", 2)
    assert job.limits.latency_ms == {90.0: 150, 99.0: 200, 99.9: 300}
    assert job.compile.shapes == {"input": (1, 3, 224, 224)}
    assert job.catalog == tmp_path / "more.csv"  # beside the job file, wherever the command runs
    assert load_s(job.load) == 60 + 52  # until 368 samples are there, at most 60 s
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
    assert load_s(job.load) == 5 + 120 + 60
    job = load_job(write(tmp_path, "load: {stairs: {steps: 3, users_per_step: 2, step_s: 30}}\n"))
    assert job.load.specs("http://x/invocations", job.seed)[0].stairs == job.load.stairs
    assert load_s(job.load) == 2 + 90


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
        (
            "shape:\n  x: [1, 4..2]\n",
            ":2: shape.x.1: '4..2': a range goes from a smaller size, 1 or more, to",
        ),
        (
            "shape:\n  x: 1..8,three\n",
            ":2: shape.x: 'three' is not a size (8), a list of exact sizes (1|4|8)",
        ),
        ("shape: {x: 1..32, 3}\n", ":1: shape.3: a size is missing; in { } write a shape in brackets"),
        (
            "shape: {x: 1}\ncompile:\n  shapes: {x: [1]}\n",
            ":3: compile.shapes: x has a shape in `shape` already",
        ),
        (
            "load:\n  users: [1]\n  find_rate: {}\n",
            ":3: load.find_rate: users and find_rate exclude each other",
        ),
        ("load:\n  find_rate:\n", ":2: load.find_rate: write `find_rate: {}` for a search"),
        ("load:\n  find_rate: {}\n", ":2: load.find_rate: find_rate searches for the rate at which latency"),
        (
            "load:\n  find_rate:\n    precisio: 1\n",
            ":3: load.find_rate.precisio: unknown key 'precisio'; nearest",
        ),
        (
            "load:\n  users: [1]\n  rounds: 2\n",
            ":3: load.rounds: users are measured in blocks that take turns",
        ),
        (
            "load:\n  find_rate: {}\n  rounds: 1\n",
            ":3: load.rounds: find_rate confirms a rate in 2 rounds at least",
        ),
        (
            "load:\n  find_rate: {}\n  min_samples: 9\n",
            ":3: load.min_samples: find_rate takes what the limits need",
        ),
        ("load:\n  users: [1]\n  arrival: gamma\n", ":3: load.arrival: gamma arrivals need an open loop"),
        ("load:\n  rate_rps: [1]\n  burstiness: 2\n", ":3: load.burstiness: burstiness belongs to"),
        ("load:\n  trace: job.yaml\n  users: [1]\n", ":2: load.trace: a trace is an open loop's arrivals"),
        ("load:\n  trace: none.csv\n", ":2: load.trace: there is no file "),
        ("load:\n  trace: job.yaml\n  arrival: constant\n", ":3: load.arrival: the trace says when"),
        ("load:\n  payload:\n    none: 1\n", ":3: load.payload.none: there is no file "),
        ("load:\n  payload: {job.yaml: 0}\n", ":2: load.payload.job.yaml: should be greater than 0, found 0"),
        ("load:\n  rows: true\n", ":2: load.rows: rows says how payload is sent: give payload"),
        ("load:\n  payload: job.yaml\n  shape: {x: [1]}\n", ":3: load.shape: shape is for random tensors"),
        ("load:\n  scenario: Server\n", ":2: load.scenario: Server has Poisson arrivals: give rate_rps"),
        (
            "load:\n  scenario: Server\n  rate_rps: [9]\n",
            ":2: load.scenario: Server has a latency bound: give",
        ),
        ("load:\n  scenario: Offline\n  rate_rps: [9]\n", ":2: load.scenario: Offline is a closed loop"),
        (
            "load:\n  scenario: SingleStream\n  users: [2]\n",
            ":3: load.users: SingleStream sends one query at",
        ),
        ("candidates:\n  max_batch: [0]\n", ":2: candidates.max_batch.0: should be greater than 0, found 0"),
        ("server:\n  max_waiting: -1\n", ":2: server.max_waiting: should be greater than or equal to 0"),
        ("catalog: none.csv\n", ":1: catalog: there is no file "),
    ],
)
def test_a_wrong_value_is_told_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text).startswith(f"job.yaml{expected}")


@pytest.mark.parametrize(
    "text",
    [
        "load: {stairs: {steps: 2, users_per_step: 1, step_s: 9}}\n",
        "load: {find_rate: {precision: 0.1}}\nlimits: {p95_ms: 5}\n",
        "load: {scenario: Server, rate_rps: [9]}\nlimits: {p99_ms: 5}\n",
        "load: {payload: job.yaml, content_type: text/plain}\nshape: {x: '1..4,3'}\n",
        "load: {trace: job.yaml}\ncompile: {shapes: {x: [1]}}\n",
    ],
)
def test_a_job_that_is_read_back_from_a_run_folder_is_the_same(tmp_path: Path, text: str) -> None:
    job = load_job(write(tmp_path, text))
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_a_shape_is_a_list_or_the_text_of_the_flag(tmp_path: Path) -> None:
    text = "shape: {x: [1..8@2|8, 3], y: '1|4,3', z: 7}\n"
    found = load_job(write(tmp_path, text))
    assert {name: shape_text(shape) for name, shape in found.shapes.items()} == {
        "x": "1..8@2|8,3",
        "y": "1|4,3",
        "z": "7",
    }
    flagged = with_shapes(found, {"x": ("5", "3")})
    assert shape_text(flagged.shapes["x"]) == "5,3"
    assert shape_text(flagged.shapes["y"]) == "1|4,3"


def test_a_scenario_lasts_as_long_as_its_rules_ask_unless_told() -> None:
    assert Load(scenario="SingleStream").specs("", 0)[0].duration_s == 600
    (spec,) = Load(scenario="Offline", duration_s=5).specs("", 0)
    assert (spec.duration_s, spec.users, spec.scenario) == (5, 64, "Offline")


def test_gamma_arrivals_and_a_trace_are_specs_of_an_open_loop(tmp_path: Path) -> None:
    (gamma,) = Load(rate_rps=(5,), arrival="gamma", burstiness=9).specs("", 0)
    assert (gamma.arrival, gamma.burstiness, gamma.rate_rps) == ("gamma", 9, 5)
    (traced,) = Load(trace=tmp_path / "day.csv").specs("", 0, trace_rps=2.5)
    assert (traced.arrival, traced.trace, traced.rate_rps) == ("trace", "day.csv", 2.5)


def test_a_missing_job_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*job\.yaml: No such file"):
        load_job(tmp_path / "job.yaml")


def test_a_longest_window_below_the_shortest_is_refused_and_none_follows_it(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("load: {duration_s: 100, max_duration_s: 10}\n")
    with pytest.raises(ConfigError, match=r"max_duration_s \(10\) is shorter than duration_s \(100\)"):
        load_job(path)
    assert Load(duration_s=100).longest_s == 100
    assert Load(duration_s=10).longest_s == 60
