"""Whole load tests on real servers: rounds of rates, a run that was killed, a rate that is confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.records.record import read_record
from modeldyno.base.records.run import Trial
from modeldyno.recommender.run import plan_run, recommend
from modeldyno.recommender.show.events import Event, StartEnded
from tests.recommender.tiny import processes_naming, quick_job, write_model

LIMITS = {"p50_ms": 5000, "error_rate": 0.5}


def killed(event: Event) -> None:
    if isinstance(event, StartEnded):
        raise KeyboardInterrupt


def test_a_killed_run_at_a_rate_goes_on_with_the_second_start(tmp_path: Path) -> None:
    model, folder = write_model(tmp_path / "m.onnx"), tmp_path / "run"
    load = {"rate_rps": [60], "min_samples": 0, "warmup_s": 0.2, "duration_s": 1}
    job = quick_job(load=load, limits=LIMITS)
    with pytest.raises(KeyboardInterrupt):
        recommend(model, job, folder, on_event=killed)
    assert not processes_naming(tmp_path)
    (first,) = (folder / "starts").iterdir()
    stamp = first.stat().st_mtime_ns
    planned = plan_run(model, job, folder)
    assert (planned.starts, planned.started) == (2, 1)
    assert "Kept from before: the load tests of 1 start." in planned.notes
    events: list[Event] = []
    recommend(model, job, folder, on_event=events.append)
    assert [event.number for event in events if isinstance(event, StartEnded)] == [2]
    assert first.stat().st_mtime_ns == stamp
    (path,) = (folder / "trials").iterdir()
    trial = read_record(path, Trial)
    starts = [read_record(each, Trial).points[0] for each in sorted((folder / "starts").iterdir())]
    assert (trial.starts, trial.failure) == (2, None)
    assert trial.points[0].samples == sum(point.samples for point in starts)
    assert starts[0].spec.seed != starts[1].spec.seed
    assert plan_run(model, job, folder).to_measure == ()


@pytest.mark.slow
def test_a_rate_that_was_found_is_confirmed_in_new_servers(tmp_path: Path) -> None:
    load = {
        "find_rate": {"start_rps": 40, "precision": 1, "max_tests": 2},
        "warmup_s": 0.2,
        "duration_s": 0.5,
        "max_duration_s": 3,
    }
    job = quick_job(load=load, limits=LIMITS)
    found = recommend(write_model(tmp_path / "m.onnx"), job, tmp_path / "run")
    (row,) = found.ranking
    trial = read_record(tmp_path / "run" / "trials" / f"{row.trial}.json", Trial)
    assert trial.search is not None
    confirms = [step for step in trial.search.steps if step.confirms]
    # Once in the search's own server, unless its tests were used up, and once in each of two new ones.
    assert len(confirms) >= 2
    assert {step.rate_rps for step in confirms[-2:]} == {row.rate_rps}
    # Beside other work one of them may be void.
    assert trial.points[-1].window_s >= 3
    assert trial.starts == 2
