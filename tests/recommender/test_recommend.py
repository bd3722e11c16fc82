from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.record import read_record
from modeldyno.base.records.run import Recommendation, Trial
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.run import recommend
from modeldyno.recommender.show.events import (
    AloneMeasured,
    CompileEnded,
    CompileStarted,
    Event,
    RunPlanned,
    TrialEnded,
)
from modeldyno.recommender.store.again import Again
from tests.recommender.tiny import FOREIGN, SMALLEST, processes_naming, quick_job, write_model

BOTH = {"backends": ["onnxruntime", "compiled"], "instance_types": [SMALLEST, FOREIGN]}


@dataclass(frozen=True)
class Done:
    """A finished run."""

    model: Path
    folder: Path
    recommendation: Recommendation
    events: list[Event]

    def again(self, job: Job, *, retry_failed: bool = False) -> tuple[Recommendation, list[Event]]:
        """Run once more in the same folder."""
        events: list[Event] = []
        found = recommend(
            self.model, job, self.folder, on_event=events.append, again=Again(failed=retry_failed)
        )
        return found, events

    def stamps(self) -> dict[str, int]:
        """When each trial was written."""
        return {path.name: path.stat().st_mtime_ns for path in (self.folder / "trials").iterdir()}


def run(folder: Path, model: Path, job: Job) -> Done:
    events: list[Event] = []
    found = recommend(model, job, folder / "run", on_event=events.append)
    return Done(model, folder / "run", found, events)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("recommend")
    yield run(folder, write_model(folder / "m.onnx"), quick_job(candidates=BOTH))
    assert not processes_naming(folder)


def test_the_whole_road_gives_a_ranking_of_real_measurements(done: Done) -> None:
    found = done.recommendation
    assert sorted(row.backend for row in found.ranking) == ["compiled", "onnxruntime"]
    for row in found.ranking:
        assert row.instance_type == SMALLEST
        assert row.samples > 0
        assert row.p50_ms is not None
        assert row.throughput_rps is not None
        assert row.usd_per_million == pytest.approx(row.usd_per_hour / 3600 / row.throughput_rps * 1e6)
        assert row.fidelity == "emulated"
    assert found.compiled is not None
    assert found.compiled.max_rel < 1e-4


def test_a_candidate_that_cannot_run_here_is_rejected_with_its_reason(done: Done) -> None:
    rejected = done.recommendation.rejected
    assert [row.instance_type for row in rejected] == [FOREIGN, FOREIGN]
    assert all("cannot be emulated on" in row.reasons[0] for row in rejected)


def test_the_run_folder_holds_every_record_and_the_report(done: Done) -> None:
    assert read_record(done.folder / "recommendation.json", Recommendation) == done.recommendation
    trials = [read_record(path, Trial) for path in (done.folder / "trials").iterdir()]
    assert len(trials) == 4
    measured = [trial for trial in trials if trial.points]
    assert len(measured) == 2
    assert all("emulated on" in trial.notes[0] for trial in measured)
    assert (done.folder / "artifact" / "manifest.json").is_file()
    assert SMALLEST in (done.folder / "report.html").read_text()
    assert sorted(path.name for path in done.folder.iterdir()) == [
        *(".lock", "alone", "artifact", "job.json", "logs", "recommendation.json", "report.html"),
        *("rounds.jsonl", "trials"),
    ]


def test_it_tells_what_it_will_do_before_it_starts_anything(done: Done) -> None:
    plan = done.events[0]
    assert isinstance(plan, RunPlanned)
    assert {each.instance.instance_type for each in plan.to_measure} == {SMALLEST}
    assert {each.instance.instance_type for each, _ in plan.refused} == {FOREIGN}
    # Two candidates alone, three times two starts with warm-ups of 0.2 s, 0.5 s of each in blocks, and for
    # 368 samples some of what is left to 3 s.
    longer_s = 2 * 0.3 * (3 - 0.5)
    assert plan.seconds == pytest.approx(2 + 2 * (1.0 + 0.8) + 3 * 2 * (1.0 + 0.2) + 2 * 0.5 + longer_s)
    kinds = [type(event) for event in done.events if isinstance(event, CompileEnded | AloneMeasured)]
    assert kinds == [CompileEnded, AloneMeasured, AloneMeasured]
    assert sum(isinstance(event, TrialEnded) for event in done.events) == 4


def test_started_again_it_keeps_every_finished_trial(done: Done) -> None:
    before = done.stamps()
    found, events = done.again(quick_job(candidates=BOTH))
    assert done.stamps() == before
    assert found.ranking == done.recommendation.ranking
    assert not any(isinstance(event, CompileStarted | AloneMeasured | TrialEnded) for event in events)


def test_only_failed_trials_are_tried_again_on_request(done: Done) -> None:
    before = done.stamps()
    done.again(quick_job(candidates=BOTH), retry_failed=True)
    changed = {name for name, stamp in done.stamps().items() if stamp != before[name]}
    assert changed == {name for name in before if name.startswith(FOREIGN)}


def test_limits_are_judged_anew_without_measuring(done: Done) -> None:
    before = done.stamps()
    found, _ = done.again(quick_job(candidates=BOTH, limits={"usd_per_hour": 1e-6}))
    assert done.stamps() == before
    assert found.ranking == ()
    assert len(found.rejected) == 4


def test_another_model_or_load_needs_another_folder(done: Done, tmp_path: Path) -> None:
    before = done.stamps(), (done.folder / "job.json").read_bytes()
    other = write_model(tmp_path / "m.onnx", seed=1)
    with pytest.raises(ConfigError, match="another model digest"):
        recommend(other, quick_job(candidates=BOTH), done.folder)
    with pytest.raises(ConfigError, match="another load"):
        done.again(quick_job(candidates=BOTH, load={"users": [9]}))
    assert (done.stamps(), (done.folder / "job.json").read_bytes()) == before


def test_a_model_that_does_not_compile_is_measured_uncompiled(tmp_path: Path) -> None:
    # Bernoulli draws anew at every call, so no compiled model can agree with the source model's outputs.
    model = write_model(tmp_path / "m.onnx", operator="Bernoulli")
    job = quick_job(candidates={"backends": ["compiled"], "instance_types": [SMALLEST]})
    found = run(tmp_path, model, job).recommendation
    assert [row.backend for row in found.ranking] == ["onnxruntime"]
    (rejected,) = found.rejected
    assert rejected.backend == "compiled"
    assert rejected.reasons[0].startswith("compilation failed: ")
    assert any("onnxruntime was not asked for: it is measured too" in note for note in found.notes)
    assert not list(tmp_path.glob("run/.*work"))
    trial = json.loads((tmp_path / "run" / "trials" / f"{rejected.trial}.json").read_text())
    assert "error:" in trial["server_log_tail"]


@pytest.mark.slow
def test_a_torch_export_program_is_ranked_without_a_baseline_and_that_is_said(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1, 8),)), model)
    found = run(tmp_path, model, quick_job(candidates=BOTH)).recommendation
    assert [row.backend for row in found.ranking] == ["compiled"]
    assert any("There is no uncompiled baseline" in note for note in found.notes)
