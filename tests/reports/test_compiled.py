"""What the page says of the compiled model and of how to measure again, from what lies in the run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modeldyno.base.records.record import write_record
from modeldyno.recommender.job.job import Job, load_job
from modeldyno.recommender.store.folder import RunFile
from modeldyno.reports.results.run_folder import Run, read_run
from modeldyno.reports.tables.compiled import compiled, kernels
from modeldyno.reports.tables.method import command, method
from modeldyno.reports.view import view
from modeldyno.runtime.records.kernels import KernelFacts
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.origin import Road, TargetFacts
from tests.gate.test_explain import kernel, profile
from tests.reports.sample import write_run
from tests.reports.side_by_side import side_by_side

JOB = Job.model_validate(
    {
        "load": {"users": [1, 2], "duration_s": 30},
        "limits": {"p99_ms": 50},
        "compile": {"tune_s": 20},
        "seed": 3,
    }
)


def _kernel(name: str, calls: int, flops: int | None) -> KernelFacts:
    return KernelFacts(name=name, kind="conv2d", calls=calls, flops=flops, bytes=1, inputs=(), outputs=())


def _manifest(digest: str) -> Manifest:
    return Manifest(
        created_at="2026-02-03T10:00:00+00:00",
        model="m.onnx",
        source_digest=digest,
        frontend="onnx",
        road=Road(name="torch.export + decompositions", reason="an operator is not supported"),
        inputs=(),
        outputs=(),
        target=TargetFacts(name="host", kind="llvm", triple="x86_64-linux-gnu", cpu="znver4", features=()),
        toolchain={},
        stages=(),
        parity=None,
        kernels=(
            _kernel("small", 2, 10_000_000),
            _kernel("large", 3, 20_000_000),
            _kernel("unknown", 1, None),
        ),
        library_digest="d",
        library_bytes=1,
        manifest_digest="m",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder as `dyno recommend` leaves it: with the job, and the artifact's manifest."""
    found, trials = side_by_side()
    write_run(tmp_path, found, trials)
    write_record(tmp_path / "artifact" / "manifest.json", _manifest(found.model_digest))
    run = RunFile(
        model=found.model,
        model_digest=found.model_digest,
        job=JOB,
        cpu_model="c",
        usable_cores=4,
        packages={},
    )
    write_record(tmp_path / "job.json", run)
    return tmp_path


def test_kernels_are_listed_by_their_share_of_the_operations(folder: Path) -> None:
    found = kernels(read_run(folder))
    assert found is not None
    # 3 x 20 and 2 x 10 of 80 million.
    assert [(one.name, one.amount, one.share) for one in found.rows] == [
        ("large", "60.0", "75 %"),
        ("small", "20.0", "25 %"),
    ]
    assert found.title == "Kernels by operations"


def test_kernels_are_listed_by_time_where_a_profile_is_there(folder: Path) -> None:
    write_record(folder / "profile.json", profile([kernel("fast", 1.0), kernel("slow", 3.0)]))
    found = kernels(read_run(folder))
    assert found is not None
    assert (found.title, found.unit) == ("Kernels by time", "ms")
    assert [one.name for one in found.rows] == ["slow", "fast"]


def test_the_import_path_is_told(folder: Path) -> None:
    facts = dict(compiled(read_run(folder)))
    assert facts["import path"] == "torch.export + decompositions: an operator is not supported"
    assert facts["FLOPs compiled"] == "100.0%"


@pytest.mark.parametrize("damage", ["", "{", '{"schema_version": 5}'])
def test_the_page_does_without_a_manifest_a_profile_and_a_job(folder: Path, damage: str) -> None:
    for name in ("artifact/manifest.json", "profile.json", "job.json"):
        (folder / name).write_text(damage)
    run = read_run(folder)
    assert (run.manifest, run.profile, run.job) == (None, None, "")
    assert dict(view(run).compiled)["FLOPs compiled"] == "100.0%"


def test_another_models_artifact_is_left_out(folder: Path) -> None:
    write_record(folder / "artifact" / "manifest.json", _manifest("another"))
    assert read_run(folder).manifest is None


def test_the_job_on_the_page_is_the_job_that_was_run(folder: Path) -> None:
    run = read_run(folder)
    (folder / "job.yaml").write_text(run.job)
    assert load_job(folder / "job.yaml") == JOB
    assert command(run) == "dyno recommend resnet50-v1-12.onnx --job job.yaml -o run"
    assert "duration_s: 30" in view(run).job
    assert json.loads((folder / "job.json").read_text())["job"]["seed"] == 3


def test_without_a_job_the_command_names_none() -> None:
    found, _ = side_by_side()
    run = Run(found.model_copy(update={"model": "my model.onnx"}), {})
    assert command(run) == "dyno recommend 'my model.onnx' -o run"


def test_the_method_names_rounds_starts_and_what_the_machine_did_besides() -> None:
    found, trials = side_by_side()
    facts = dict(method(Run(found, {one.candidate.key: one for one in trials})))
    assert facts["finals"] == "36 rounds in fresh processes, of 2, 3, 5"
    assert facts["starts"] == "2 starts of each finalist"
    assert facts["other work on the machine"].startswith("in 4 of 36 rounds")
    assert facts["starts differ by"].startswith("0.30 %")
