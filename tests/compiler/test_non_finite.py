"""The manifest names what may differ on NaN and infinities, with its kernels, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from onnx import TensorProto, helper

from modeldyno.compiler import compile_model
from modeldyno.compiler.options import Fallback, Options
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from tests.compiler.models import constant, conv_net, mlp, model, node, saved, tensor, weights

if TYPE_CHECKING:
    import onnx


def compiled(folder: Path, made: onnx.ModelProto, fallback: Fallback | None = None) -> Manifest:
    options = Options(verify=False, fallback=fallback)
    compile_model(saved(folder / "model.onnx", made), folder / "out", options=options)
    return read_manifest(folder / "out")


def test_a_model_of_products_and_activations_differs_nowhere(tmp_path: Path) -> None:
    assert compiled(tmp_path, mlp()).non_finite == ()


def test_a_pooling_is_named_with_its_kernel(tmp_path: Path) -> None:
    manifest = compiled(tmp_path, conv_net())
    (found,) = manifest.non_finite
    assert found.operator == "MaxPool"
    assert set(found.kernels) <= {kernel.name for kernel in manifest.kernels}
    assert len(found.kernels) == 1
    assert "NaN" in found.why


def test_winograd_and_phases_are_named(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("ConvTranspose", "c v", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    kept = [weights("w", 64, 64, 3, 3), weights("v", 64, 3, 2, 2)]
    made = model(nodes, [tensor("x", [1, 64, 28, 28])], [tensor("y", [1, 3, 56, 56])], kept)
    found = {each.operator: each for each in compiled(tmp_path, made).non_finite}
    assert set(found) == {"Conv", "ConvTranspose"}
    assert any("winograd" in kernel for kernel in found["Conv"].kernels)


def test_an_artifact_in_segments_names_what_its_segments_name(tmp_path: Path) -> None:
    nodes = [node("MaxPool", "x", "p", kernel_shape=[2, 2]), node("Det", "p", "y")]
    made = model(nodes, [tensor("x", [1, 3, 9, 9])], [tensor("y", [1, 3])])
    assert [each.operator for each in compiled(tmp_path, made, "onnxruntime").non_finite] == ["MaxPool"]


def test_a_product_that_may_overflow_on_its_way_is_named_with_its_kernel(tmp_path: Path) -> None:
    nodes = [node("ReduceProd", "x", "y", keepdims=0)]
    (found,) = compiled(tmp_path, model(nodes, [tensor("x", [4, 5])], [tensor("y", [])])).non_finite
    assert found.operator == "ReduceProd"
    assert len(found.kernels) == 1


def test_an_open_clip_and_a_cast_of_floats_to_whole_numbers_are_named(tmp_path: Path) -> None:
    nodes = [
        node("Clip", "x low", "open"),
        node("Clip", "x low high", "closed"),
        node("Cast", "open", "whole", to=TensorProto.INT32),
        node("Cast", "whole", "long", to=TensorProto.INT64),
    ]
    outputs = [tensor("closed", [4, 5]), tensor("long", [4, 5], TensorProto.INT64)]
    kept = [constant("low", -1, "float32"), constant("high", 1, "float32")]
    made = model(nodes, [tensor("x", [4, 5])], outputs, kept)
    assert [each.operator for each in compiled(tmp_path, made).non_finite] == ["Clip", "Cast"]
    both = model(nodes[1:2], [tensor("x", [4, 5])], outputs[:1], kept)
    assert compiled(tmp_path, both).non_finite == ()


@pytest.mark.parametrize("operator", ["LRN", "TopK"])
def test_operators_whose_kernels_go_by_other_names_are_named_too(tmp_path: Path, operator: str) -> None:
    inputs, outputs = ("x", "y") if operator == "LRN" else ("x k", "y places")
    made = model(
        [node(operator, inputs, outputs, **({"size": 3} if operator == "LRN" else {}))],
        [tensor("x", [1, 4, 5, 5])],
        [tensor("y", [1, 4, 5, 5 if operator == "LRN" else 2])],
        [constant("k", [2])],
    )
    assert [each.operator for each in compiled(tmp_path, made).non_finite] == [operator]


def test_the_place_of_a_nan_is_torchs_alone(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Place(torch.nn.Module):  # type: ignore[name-defined]
        def forward(self, x: Any) -> Any:
            return x.argmax(-1)

    compile_model(Place(), tmp_path / "torch", example_inputs=[torch.zeros(2, 5)])
    assert [each.operator for each in read_manifest(tmp_path / "torch").non_finite] == ["ArgMax"]
    places = helper.make_tensor_value_info("y", TensorProto.INT64, [1, 5])
    made = model([node("ArgMax", "x", "y", axis=0)], [tensor("x", [2, 5])], [places])
    assert compiled(tmp_path, made).non_finite == ()
