"""Files and modules in float16 and bfloat16: computed in float32, held to their own step, and said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from modeldyno.base.errors import ParityError
from modeldyno.compiler import compile_model
from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.options import Options
from modeldyno.compiler.precision.formats import BFLOAT16, FLOAT16, FLOAT32, coarsest, precision_words
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import Manifest
from tests.compiler.models import conv_net, mlp, model, node, saved, tensor
from tests.compiler.quantised_models import as_given, feeds_of
from tests.compiler.sequence_models import encoder

HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def types(manifest: Manifest) -> list[str]:
    return [spec.dtype for spec in (*manifest.inputs, *manifest.outputs)]


def bfloat16(net: onnx.ModelProto) -> onnx.ModelProto:
    """Give a float32 model in bfloat16: weights, inputs and outputs."""
    for weight in net.graph.initializer:
        if weight.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(weight).astype(
                helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
            )
            weight.CopyFrom(
                helper.make_tensor(
                    weight.name, TensorProto.BFLOAT16, values.shape, values.tobytes(), raw=True
                )
            )
    for value in (*net.graph.input, *net.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.BFLOAT16
    return net


class Net(torch.nn.Module):
    """Convolution, norms and a product; types are named in its code, and a constant is kept beside it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.batch = torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16)
        self.norm, self.linear = torch.nn.LayerNorm(16), torch.nn.Linear(16, 5)
        self.register_buffer("scale", torch.full((16,), 0.5))

    def forward(self, image: Any) -> dict[str, Any]:
        x = torch.relu(self.batch(self.conv(image))).mean((2, 3))
        x = self.norm(x) * self.scale + torch.ones(16, dtype=image.dtype)
        logits = self.linear(x)
        return {"logits": logits, "shares": torch.softmax(logits.float(), -1)}


def test_a_format_says_what_it_holds_and_how_exact_it_is() -> None:
    assert [each.lanes(64) for each in (FLOAT32, FLOAT16, BFLOAT16)] == [16, 32, 32]
    assert FLOAT32.tolerance < FLOAT16.tolerance < BFLOAT16.tolerance
    assert {each.accumulates_in for each in (FLOAT32, FLOAT16, BFLOAT16)} == {"float32"}
    assert coarsest(["float16", "bfloat16"]) is BFLOAT16
    assert coarsest([]) is None
    assert precision_words([]) == precision_words(["float32"]) == "float32"
    assert precision_words(["float16", "quantised"]) == "float32 (quantised float16 file)"


@pytest.mark.parametrize("keeps", [False, True], ids=["half-ends", "float-ends"])
def test_a_file_in_float16(tmp_path: Path, keeps: bool) -> None:
    path = saved(tmp_path / "net.onnx", convert_float_to_float16(conv_net(), keep_io_types=keeps))
    made = compile_model(path, tmp_path / "out")
    assert made.precision == "float32 (float16 file)"
    assert types(made) == ["float32" if keeps else "float16"] * 2
    assert made.parity is not None
    assert made.parity.given_tolerance == FLOAT16.tolerance
    assert made.parity.given[0].max_rel < FLOAT16.tolerance
    # As many kernels as the float32 file has, beside the casts at the ends.
    feeds = feeds_of(onnx.load(path))
    (found,) = open_session(tmp_path / "out", threads=1).run(feeds).values()
    (wanted,) = as_given(path, feeds)
    assert found.dtype == wanted.dtype
    assert np.abs(found - wanted).max() <= 2e-3 * np.abs(wanted).max()


def test_no_cast_is_left_inside(tmp_path: Path) -> None:
    net = convert_float_to_float16(conv_net())
    read = read_onnx(saved(tmp_path / "net.onnx", net), {}).model
    assert isinstance(read, onnx.ModelProto)
    assert [each.op_type for each in read.graph.node].count("Cast") == 2
    assert {weight.data_type for weight in read.graph.initializer} <= {TensorProto.FLOAT, TensorProto.INT64}


def test_a_file_in_bfloat16_takes_and_gives_float32(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", bfloat16(mlp()))
    made = compile_model(path, tmp_path / "out")
    assert made.precision == "float32 (bfloat16 file)"
    assert types(made) == ["float32", "float32"]
    assert made.parity is not None
    assert "bfloat16" in made.parity.given_unknown
    assert not made.parity.given


def test_a_transformer_layer_in_float16_for_several_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", convert_float_to_float16(encoder(mask=True)))
    shapes = {"input_ids": (1, "4|8"), "attention_mask": (1, "4|8")}
    made = compile_model(path, tmp_path / "out", shapes=shapes)
    assert made.precision == "float32 (float16 file)"
    assert made.parity is not None
    assert len(made.parity.given) == 2


def test_branches_attributes_and_passed_on_inputs(tmp_path: Path) -> None:
    half = TensorProto.FLOAT16
    branches = [
        helper.make_graph(
            [node("Cast", "sum", "more", to=half), node(operator, "x more", "out")],
            operator,
            [],
            [tensor("out", [4], half)],
        )
        for operator in ("Add", "Mul")
    ]
    nodes = [
        node("ReduceSum", "x", "sum", keepdims=0),
        node("Constant", "", "zero", value=numpy_helper.from_array(np.float16(0))),
        node("Greater", "sum zero", "c"),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node(
            "ConstantOfShape", ["four"], ["twos"], value=numpy_helper.from_array(np.array([2], np.float16))
        ),
        node("Mul", "y twos", "z"),
    ]
    nodes[1].ClearField("input")
    values = [numpy_helper.from_array(np.array([4]), "four")]
    net = model(nodes, [tensor("x", [4], half)], [tensor("y", [4], half), tensor("z", [4], half)], values)
    path = saved(tmp_path / "net.onnx", net)
    source = read_onnx(path, {})
    for sign in (1, -1):
        feeds = {"x": sign * np.array([1, 2, 3, 4], np.float16)}
        for got, wanted in zip(source.reference(feeds).values(), as_given(path, feeds), strict=True):
            assert got.dtype == np.float16
            assert np.array_equal(got, wanted)


def test_fallback_takes_the_float32_form(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "m"), node("Det", "m", "y"), node("Add", "m m", "z")]
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float16), "w")
    half = TensorProto.FLOAT16
    net = model(
        nodes, [tensor("x", [4, 4], half)], [tensor("y", [], half), tensor("z", [4, 4], half)], [weight]
    )
    made = compile_model(
        saved(tmp_path / "net.onnx", net), tmp_path / "out", options=Options(fallback="onnxruntime")
    )
    assert made.needs_onnxruntime
    assert made.precision == "float32 (float16 file)"
    feeds = {"x": np.arange(16, dtype=np.float16).reshape(4, 4)}
    found = open_session(tmp_path / "out", threads=1).run(feeds)
    assert [array.dtype.name for array in found.values()] == ["float16", "float16"]


def test_what_is_far_from_the_file_in_its_own_numbers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Widening that changes a model is seen, though reference and artifact agree with one another."""
    from modeldyno.compiler.frontends.onnx.formats import widen

    plain = widen._widen_tensor

    def wrong(weight: onnx.TensorProto) -> None:
        plain(weight)
        if weight.data_type == TensorProto.FLOAT and weight.name == "w2":
            weight.CopyFrom(numpy_helper.from_array(1.1 * numpy_helper.to_array(weight), weight.name))

    monkeypatch.setattr(widen, "_widen_tensor", wrong)
    path = saved(tmp_path / "net.onnx", convert_float_to_float16(conv_net()))
    with pytest.raises(ParityError, match=r"from the model in its own numbers.*tolerance of its format"):
        compile_model(path, tmp_path / "out")


@pytest.mark.parametrize("kind", HALF)
def test_a_module(tmp_path: Path, kind: str) -> None:
    module, image = Net().eval().to(HALF[kind]), torch.randn(1, 3, 8, 8).to(HALF[kind])
    made = compile_model(module, tmp_path / "out", example_inputs=(image,))
    assert made.precision == f"float32 ({kind} file)"
    ends = "float16" if kind == "float16" else "float32"
    assert types(made) == [ends, ends, "float32"]
    assert made.parity is not None
    assert made.parity.given_tolerance == (FLOAT16 if kind == "float16" else BFLOAT16).tolerance
    assert 0 < max(each.max_rel for each in made.parity.given) < made.parity.given_tolerance
    assert max(row.max_rel for row in made.parity.outputs) < 1e-3
    assert {weight.dtype for weight in module.state_dict().values()} >= {HALF[kind]}  # left as it was
    feeds = {"image": image.float().numpy().astype(ends)}
    found = open_session(tmp_path / "out", threads=1).run(feeds)
    wanted = module(image)["shares"].detach().numpy()
    assert np.abs(found["shares"] - wanted).max() <= made.parity.given_tolerance * wanted.max()


def test_a_pt2_file_for_a_range(tmp_path: Path) -> None:
    module, x = torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.Softmax(-1)), torch.randn(2, 8)
    batch = {"input": {0: torch.export.Dim("batch")}}
    program = torch.export.export(module.bfloat16(), (x.bfloat16(),), dynamic_shapes=batch)
    torch.export.save(program, tmp_path / "net.pt2")
    made = compile_model(tmp_path / "net.pt2", tmp_path / "out", shapes={"input": ("1..2", 8)})
    assert made.precision == "float32 (bfloat16 file)"
    assert made.buckets is not None
    assert made.parity is not None
    assert [each.output for each in made.parity.given] == ["output_0"]


def test_autocast_is_said_too(tmp_path: Path) -> None:
    class Auto(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 3)

        def forward(self, x: Any) -> Any:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = self.first(x)
            return self.second(y.float())

    made = compile_model(Auto().eval(), tmp_path / "out", example_inputs=(torch.randn(2, 8),))
    assert made.precision == "float32 (bfloat16 file)"
    assert types(made) == ["float32", "float32"]


def test_a_quantised_file_whose_scales_are_float16(tmp_path: Path) -> None:
    half = TensorProto.FLOAT16
    values = [numpy_helper.from_array(np.float16(0.05), "s"), numpy_helper.from_array(np.uint8(3), "z")]
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    net = model(nodes, [tensor("x", [2, 8], half)], [tensor("y", [2, 8], half)], values, opset=21)
    net.ir_version = 10
    made = compile_model(saved(tmp_path / "net.onnx", net), tmp_path / "out")
    assert made.precision == "float32 (quantised float16 file)"
    assert types(made) == ["float16", "float16"]
    assert made.parity is not None
    assert made.parity.given_tolerance is None
    assert made.parity.given[0].cosine > 0.99


def test_numbers_beyond_float16_inside_decide_nothing_of_the_module_as_given(tmp_path: Path) -> None:
    class Large(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 60000.0 * 60000.0 * 0.0001 * 0.0001

    made = compile_model(Large(), tmp_path / "out", example_inputs=(torch.ones(2, 8).half(),))
    assert made.parity is not None
    assert "pass what its own format holds" in made.parity.given_unknown
    assert not made.parity.given
