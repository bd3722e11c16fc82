from __future__ import annotations

from pathlib import Path

import pytest

from dyno.errors import ConfigError, DynoError, ModelError
from recommender.job import Job
from recommender.source import inspect_model
from tests.recommender.tiny import SIZE, write_model


def only(backend: str) -> Job:
    return Job.model_validate({"candidates": {"backends": [backend]}})


def test_the_uncompiled_baseline_is_always_there(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    assert inspect_model(model, only("compiled")).backends == ("onnxruntime", "compiled")
    assert inspect_model(model, only("onnxruntime")).backends == ("onnxruntime",)


def test_a_size_left_open_is_fixed_by_the_job(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", open_size=True)
    with pytest.raises(DynoError, match=r"'x' has no fixed shape .*in the job file that is `shape: \{NAME: "):
        inspect_model(model, Job())
    job = Job.model_validate({"compile": {"shapes": {"x": [3, SIZE]}}})
    assert [[spec.shape for spec in each] for each in inspect_model(model, job).requests] == [[(3, SIZE)]]


def test_a_folder_is_no_source_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder: give the source model"):
        inspect_model(tmp_path, Job())


@pytest.mark.slow
def test_a_torch_export_program_is_only_compiled(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    program = torch.export.export(torch.nn.ReLU(), (torch.zeros(1, SIZE),))
    torch.export.save(program, tmp_path / "m.pt2")
    assert inspect_model(tmp_path / "m.pt2", Job()).backends == ("compiled",)
    with pytest.raises(ConfigError, match="can only be compiled: add compiled"):
        inspect_model(tmp_path / "m.pt2", only("onnxruntime"))
