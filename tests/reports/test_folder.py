from __future__ import annotations

import json
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import write_record
from modeldyno.base.records.run import Trial
from modeldyno.reports.page.page import write_report
from modeldyno.reports.results.run_folder import read_run
from tests.reports.sample import GOLDEN, sample, write_run
from tests.reports.side_by_side import GOLDEN_SIDE_BY_SIDE, side_by_side


def test_the_saved_sample_is_what_its_maker_makes() -> None:
    run, (recommendation, trials) = read_run(GOLDEN), sample()
    assert run.recommendation == recommendation.model_copy(update={"schema_version": 1})
    # Not the histograms' bytes: they are compressed, and zlib's output may differ from build to build.
    assert {key: _plain(one) for key, one in run.trials.items()} == {
        one.candidate.key: _plain(one) for one in trials
    }


def _plain(trial: Trial) -> Trial:
    points = tuple(point.model_copy(update={"histogram": ""}) for point in trial.points)
    return trial.model_copy(update={"points": points, "schema_version": 0})


def test_the_saved_sample_of_candidates_side_by_side_is_what_its_maker_makes() -> None:
    run, (recommendation, trials) = read_run(GOLDEN_SIDE_BY_SIDE), side_by_side()
    assert run.recommendation == recommendation
    assert {key: _plain(one) for key, one in run.trials.items()} == {
        one.candidate.key: _plain(one) for one in trials
    }


def test_each_saved_sample_stays_of_its_own_schema() -> None:
    for folder, version in ((GOLDEN, 1), (GOLDEN_SIDE_BY_SIDE, 2)):
        run = read_run(folder)
        assert {run.recommendation.schema_version, *(one.schema_version for one in run.trials.values())} == {
            version
        }


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*nowhere; name the --output folder"):
        write_report(tmp_path / "nowhere")


def test_a_folder_without_a_recommendation_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"is no run folder: it has no recommendation\.json; `dyno recommend` makes one"
    ):
        write_report(tmp_path)
    (tmp_path / "trials").mkdir()
    with pytest.raises(ConfigError, match="run `dyno recommend` again to finish it"):
        write_report(tmp_path)


@pytest.mark.parametrize("name", ["recommendation.json", "trials/c7a.large_compiled_t2_w1.json"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-40], "the record is damaged"),
        (lambda _: "", "the record is damaged"),
        (lambda _: "[1, 2]", "the record is damaged"),
        (lambda text: _with(text, schema_version=3), "schema_version 3, this modeldyno reads 1 to 2"),
        (
            lambda text: _with(text, surprise=1, schema_version=7),
            "schema_version 7, this modeldyno reads 1 to 2",
        ),
        (lambda text: _with(text, surprise=1), "surprise"),
    ],
)
def test_a_damaged_or_newer_record_is_named_and_nothing_is_written(
    tmp_path: Path, name: str, damage: object, message: str
) -> None:
    assert callable(damage)
    run_dir = write_run(tmp_path, *sample())
    path = run_dir / name
    path.write_text(damage(path.read_text()))
    with pytest.raises(ConfigError, match=message) as caught:
        write_report(run_dir)
    assert str(path) in str(caught.value)
    assert not (run_dir / "report.html").exists()


def _with(text: str, **more: object) -> str:
    return json.dumps({**json.loads(text), **more})


def test_a_damaged_histogram_is_a_damaged_record(tmp_path: Path) -> None:
    found, trials = sample()
    best = trials[0]
    broken = tuple(point.model_copy(update={"histogram": point.histogram[:-30]}) for point in best.points)
    write_run(tmp_path, found, trials)
    write_record(
        tmp_path / "trials" / f"{best.candidate.key}.json", best.model_copy(update={"points": broken})
    )
    with pytest.raises(ConfigError, match="histogram cannot be decoded"):
        write_report(tmp_path)


def test_a_record_of_absurd_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeldyno.reports.results.run_folder.MOST_RECORD_BYTES", 1000)
    with pytest.raises(ConfigError, match="is larger than"):
        read_run(write_run(tmp_path, *sample()))
