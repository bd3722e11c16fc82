"""Models are recognised, loaded, and refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modeldyno.base.errors import ArtifactError, ModelError, RequestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.serving.models.files import model_kind
from modeldyno.serving.models.loader import model_source
from tests.serving import models
from tests.serving.models import loaded


def test_inputs_and_outputs_carry_numpy_names_and_free_sizes(tmp_path: Path) -> None:
    backend = loaded(models.pair(tmp_path / "m.onnx"), 1)
    assert backend.signature.inputs == (
        TensorSpec(name="a", dtype="float32", shape=(2, 3)),
        TensorSpec(name="ids", dtype="int64", shape=(None,)),
        TensorSpec(name="keep", dtype="bool", shape=()),
    )
    assert [spec.dtype for spec in backend.signature.outputs] == ["float32", "bool"]


def test_weights_beside_the_model_are_found(tmp_path: Path) -> None:
    path = models.matmul(tmp_path / "m.onnx", external=True)
    x = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(loaded(path, 1).run({"x": x})["y"], models.WEIGHTS)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    path = models.matmul(tmp_path / "m.onnx", external=True)
    (tmp_path / "m.data").unlink()
    with pytest.raises(ModelError, match=r"keeps weights in .*m\.data, which is missing"):
        loaded(path, 1)


def test_weights_cut_short_are_said(tmp_path: Path) -> None:
    path = models.matmul(tmp_path / "m.onnx", external=True)
    (tmp_path / "m.data").write_bytes(b"abc")
    with pytest.raises(ModelError, match="keeps weights in a file beside it that was cut short"):
        loaded(path, 1)


def test_an_operator_of_an_unknown_domain_is_named(tmp_path: Path) -> None:
    path = models.relu(tmp_path / "m.onnx", operator="Frobnicate", domain="com.acme")
    with pytest.raises(
        ModelError, match=r"uses operator com\.acme:Frobnicate, which onnxruntime does not know"
    ):
        loaded(path, 1)


def test_a_newer_ir_version_is_said(tmp_path: Path) -> None:
    path = models.relu(tmp_path / "m.onnx", ir_version=99)
    with pytest.raises(ModelError, match=r"has ONNX IR version 99, onnxruntime .* here reads up to "):
        loaded(path, 1)


def test_a_model_of_strings_is_refused(tmp_path: Path) -> None:
    path = models.relu(tmp_path / "m.onnx", operator="Identity", kind=models.STRING)
    with pytest.raises(ModelError, match=r"input 'x' is tensor\(string\): only tensors of numbers"):
        loaded(path, 1)


def test_any_other_complaint_of_onnxruntime_is_passed_on_without_its_decoration(tmp_path: Path) -> None:
    path = models.relu(tmp_path / "m.onnx", kind=models.INT8, opset=13)
    with pytest.raises(
        ModelError, match=r"^onnxruntime cannot load \S+: This is an invalid model\. Type Error"
    ):
        loaded(path, 1)


def test_a_folder_without_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no artifact: it has no manifest\.json"):
        model_kind(tmp_path)


def test_a_torch_file_is_told_to_be_compiled(tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(ModelError, match=r"is a zip file .* `dyno compile` it first"):
        model_kind(tmp_path / "m.pt2")


def test_workers_share_a_model_only_when_onnxruntime_has_no_threads_of_its_own(tmp_path: Path) -> None:
    path = models.matmul(tmp_path / "m.onnx")
    shared, own = model_source(path, 1).loader(), model_source(path, 2).loader()
    assert shared() is shared()
    assert own() is not own()


def test_values_that_the_model_refuses_are_the_request_s_fault(tmp_path: Path) -> None:
    backend = loaded(models.gather(tmp_path / "m.onnx"), 1)
    assert backend.run({"ids": np.array([2])})["y"].tolist() == [0.25]
    with pytest.raises(RequestError, match=r"the model refuses this input: .*out of data bounds") as refused:
        backend.run({"ids": np.array([9])})
    assert refused.value.status == 400
