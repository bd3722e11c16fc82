"""Messages name what was found and the way out, and none sends the wrong way."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest

from modeldyno.base.errors import CompileError, ModelError
from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.models import compile_model
from tests.compiler.models import constant, model, node, tensor, weights


def test_a_long_recurrence_names_its_steps_and_the_bound(tmp_path: Path) -> None:
    made = model(
        [node("LSTM", "x w r", "y", hidden_size=2)],
        [tensor("x", [400, 1, 2])],
        [tensor("y", [400, 1, 1, 2])],
        [weights("w", 1, 8, 2), weights("r", 1, 8, 2)],
    )
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(CompileError, match=r"LSTM .*: 400 steps; the most that is unrolled is 256"):
        compile_model(tmp_path / "m.onnx", tmp_path / "a")


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"clip": 3.0}, "LSTM .*: its attribute clip is not supported"),
        ({"activations": ["Sigmoid", "Affine", "Tanh"]}, "LSTM .*: its activation Affine is not supported"),
    ],
    ids=["clip", "activation"],
)
def test_a_recurrence_names_the_attribute_that_is_not_supported(
    attributes: dict[str, object], said: str, tmp_path: Path
) -> None:
    made = model(
        [node("LSTM", "x w r", "y", hidden_size=2, **attributes)],
        [tensor("x", [3, 1, 2])],
        [tensor("y", [3, 1, 1, 2])],
        [weights("w", 1, 8, 2), weights("r", 1, 8, 2)],
    )
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(CompileError, match=said):
        compile_model(tmp_path / "m.onnx", tmp_path / "a")


def test_a_dimension_of_0_is_named(tmp_path: Path) -> None:
    onnx.save(
        model([node("Relu", "x", "y")], [tensor("x", [4, 0])], [tensor("y", [4, 0])]), tmp_path / "m.onnx"
    )
    with pytest.raises(
        ModelError, match=r"'x' is declared with a dimension of 0 \(\[4, 0\]\).*`shapes` 'x=4,1'"
    ):
        read_model(tmp_path / "m.onnx", {})


def test_a_file_that_onnx_runtime_saved_optimised(tmp_path: Path) -> None:
    made = model(
        [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Conv", "c v", "y")],
        [tensor("x", [1, 3, 8, 8])],
        [tensor("y", [1, 16, 8, 8])],
        [weights("w", 16, 3, 3, 3), weights("v", 16, 16, 1, 1)],
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "m.onnx")
    onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    if all(each.domain != "com.microsoft.nchwc" for each in onnx.load(tmp_path / "m.onnx").graph.node):
        pytest.skip("ONNX Runtime has no layout of its own for this processor")
    with pytest.raises(
        ModelError, match=r"was saved by ONNX Runtime, optimised for one processor: Conv .*2 more"
    ):
        read_model(tmp_path / "m.onnx", {})


@pytest.mark.parametrize("shape", [[250000, 100000], [1 << 20, 1 << 12]], ids=str)
def test_an_output_of_absurd_size_is_named_before_room_is_made_for_it(
    shape: list[int], tmp_path: Path
) -> None:
    made = model(
        [node("Expand", "x s", "h"), node("Relu", "h", "y")],
        [tensor("x", [1])],
        [tensor("y", [None, None])],
        [constant("s", shape)],
    )
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"Expand \(node 'h'\) gives 'h' of shape .*, which would hold"):
        read_model(tmp_path / "m.onnx", {})
    fixed = model(
        [node("ConstantOfShape", "s", "h"), node("Add", "x h", "y")],
        [tensor("x", [1])],
        [tensor("y", [None, None])],
        [constant("s", shape)],
    )
    onnx.save(fixed, tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="ConstantOfShape"):
        read_model(tmp_path / "n.onnx", {})


def test_an_operator_of_onnx_runtime_says_where_it_comes_from(tmp_path: Path) -> None:
    made = model(
        [node("FusedConv", "x w", "y", domain="com.microsoft", activation="Relu")],
        [tensor("x", [1, 3, 8, 8])],
        [tensor("y", [1, 4, 6, 6])],
        [weights("w", 4, 3, 3, 3)],
        domains=["com.microsoft"],
    )
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(CompileError, match="compile the file as it was before it was optimised"):
        compile_model(tmp_path / "m.onnx", tmp_path / "a")
