from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError, OutputError
from modeldyno.base.records.record import read_record
from modeldyno.base.records.run import Trial
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.store.folder import RunFile, open_store, run_file
from modeldyno.trials.measure.trial import failed_trial
from tests.recommender.tiny import instance, planned

TYPE = instance()
BASELINE = planned(TYPE)
COMPILED = planned(TYPE, "compiled")


def run(**changed: object) -> RunFile:
    return run_file("m.onnx", "digest", Job(), "sent").model_copy(update=changed)


def trial(which: object = BASELINE) -> Trial:
    assert which in (BASELINE, COMPILED)
    return failed_trial(BASELINE if which is BASELINE else COMPILED, "emulated", "a reason")


def test_a_saved_trial_is_found_by_the_next_run(tmp_path: Path) -> None:
    with open_store(tmp_path / "run", run()) as store:
        assert store.finished(BASELINE.candidate, TYPE) is None
        store.save(trial())
    with open_store(tmp_path / "run", run()) as store:
        assert store.finished(BASELINE.candidate, TYPE) == trial()
        assert store.finished(COMPILED.candidate, TYPE) is None


def test_other_candidates_and_limits_go_on_in_the_same_folder(tmp_path: Path) -> None:
    with open_store(tmp_path / "run", run()):
        pass
    other = Job.model_validate({"candidates": {"instance_types": ["c7i.large"]}, "limits": {"p99_ms": 5}})
    with open_store(tmp_path / "run", run(job=other)):
        assert read_record(tmp_path / "run" / "job.json", RunFile).job == other


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model_digest": "other"}, "model digest"),
        ({"cpu_model": "other"}, "cpu model"),
        ({"usable_cores": 99}, "usable cores"),
        ({"provider": "elsewhere"}, "provider"),
        ({"packages": {"onnxruntime": "0.1"}}, "packages"),
        ({"job": Job.model_validate({"load": {"users": [3]}})}, "load"),
        ({"job": Job.model_validate({"compile": {"shapes": {"x": [1]}}})}, "shape"),
        ({"job": Job.model_validate({"shape": {"x": "1..4"}})}, "shape"),
        ({"job": Job.model_validate({"compile": {"winograd": False}})}, "compile"),
        ({"job": Job.model_validate({"compile": {"min_compiled": 0.5}})}, "compile"),
        ({"job": Job.model_validate({"server": {"max_waiting": 1}})}, "server"),
        ({"job": Job.model_validate({"load": {"timeout_s": 3}})}, "load"),
        ({"sent_digest": "other"}, "payload or trace"),
        ({"job": Job(seed=1)}, "seed"),
    ],
)
def test_what_changes_a_measurement_needs_another_folder(
    tmp_path: Path, changed: dict[str, object], named: str
) -> None:
    with open_store(tmp_path / "run", run()) as store:
        store.save(trial())
    with (
        pytest.raises(ConfigError, match=f"another {named} .*give another --output, or delete"),
        open_store(tmp_path / "run", run(**changed)),
    ):
        pass
    assert read_record(tmp_path / "run" / "job.json", RunFile) == run()


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="holds no run"), open_store(tmp_path, run()):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_runs_at_once_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        open_store(tmp_path / "run", run()),
        pytest.raises(ConfigError, match="another dyno recommend works in"),
        open_store(tmp_path / "run", run()),
    ):
        pass
    with open_store(tmp_path / "run", run()):  # the first has ended
        pass


def test_a_new_price_is_taken_without_measuring_again(tmp_path: Path) -> None:
    dearer = TYPE.model_copy(update={"usd_per_hour": 9.0})
    with open_store(tmp_path / "run", run()) as store:
        store.save(trial())
        found = store.finished(BASELINE.candidate, dearer)
        assert found is not None
        assert found.instance.usd_per_hour == 9.0
        assert store.finished(BASELINE.candidate, dearer) == found


def test_an_instance_type_of_another_shape_is_measured_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "run", run()) as store:
        store.save(trial())
        assert store.finished(BASELINE.candidate, TYPE.model_copy(update={"memory_gib": 3.0})) is None


def test_trials_of_another_compiled_model_are_dropped(tmp_path: Path) -> None:
    with open_store(tmp_path / "run", run()) as store:
        store.use_library("first")
        store.save(trial(BASELINE))
        store.save(trial(COMPILED))
        store.save_start(trial(BASELINE), 2)
        store.save_start(trial(COMPILED), 2)
        store.use_library("first")
        assert store.finished(COMPILED.candidate, TYPE) is not None
    with open_store(tmp_path / "run", run()) as store:
        store.use_library("second")
        assert store.finished(COMPILED.candidate, TYPE) is None
        assert store.finished(BASELINE.candidate, TYPE) is not None
        assert store.started(COMPILED.candidate, TYPE, 2) is None
        assert store.started(BASELINE.candidate, TYPE, 2) is not None
        assert store.started(BASELINE.candidate, TYPE, 1) is None


def test_a_damaged_trial_is_told_and_not_measured_over(tmp_path: Path) -> None:
    with open_store(tmp_path / "run", run()) as store:
        store.save(trial())
        path = tmp_path / "run" / "trials" / f"{BASELINE.candidate.key}.json"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ConfigError, match=path.name):
            store.finished(BASELINE.candidate, TYPE)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"), open_store(tmp_path / "file" / "run", run()):
        pass
