from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.base.errors import ConfigError, DynoError, ModelError
from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.model_file import inspect_model
from tests.recommender.tiny import SIZE, SMALLEST, write_model


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


def requests(model: Path, **job: object) -> list[tuple[int | None, ...]]:
    found = inspect_model(model, Job.model_validate({"candidates": {"backends": ["onnxruntime"]}, **job}))
    return [spec.shape for inputs in found.requests for spec in inputs]


def test_of_a_range_the_smallest_is_sent_unless_the_load_says_which(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", open_size=True)
    assert requests(model, shape={"x": ("2..8", SIZE)}) == [(2, SIZE)]
    assert requests(model, shape={"x": ("4|8", SIZE)}) == [(4, SIZE)]
    mixed = {"shape": {"x": ("3|8", SIZE)}}
    assert requests(model, shape={"x": ("2..8", SIZE)}, load=mixed) == [(3, SIZE), (8, SIZE)]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"x": (9, SIZE)}, r"load.shape: x: 9 is not among the sizes of `shape`, 2\.\.8"),
        ({"x": ("2..4", SIZE)}, r"load.shape: x: 2\.\.4 is a range; list the sizes to send"),
        ({"y": (2,)}, "'y'|y: the model has no such input"),
    ],
)
def test_what_the_compiled_candidates_do_not_take_is_not_sent(
    tmp_path: Path, sent: dict[str, object], said: str
) -> None:
    model = write_model(tmp_path / "m.onnx", open_size=True)
    with pytest.raises(ConfigError, match=said):
        requests(model, shape={"x": ("2..8", SIZE)}, load={"shape": sent})


def test_a_fixed_model_is_sent_its_own_shape_alone(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    assert requests(model, load={"shape": {"x": (1, SIZE)}}) == [(1, SIZE)]
    with pytest.raises(ConfigError, match="x: 2 is not among the sizes of `shape`, 1"):
        requests(model, load={"shape": {"x": (2, SIZE)}})


def test_a_target_that_this_machine_cannot_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    foreign = "neoverse-n1" if SMALLEST.startswith("c7a") else "znver4"
    job = Job.model_validate({"compile": {"target": foreign}})
    with pytest.raises(ConfigError, match=f"compile.target {foreign}: the candidates run on this machine"):
        inspect_model(model, job)
    with pytest.raises(ConfigError, match="unknown target"):
        inspect_model(model, Job.model_validate({"compile": {"target": "znver"}}))


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
