"""Quantised files: pairs become clips, the rest keeps its meaning, and what is not compiled is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic

from modeldyno.base.errors import ModelError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler import compile_model
from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.frontends.onnx.formats.pairs import without_pairs
from modeldyno.compiler.frontends.onnx.part import part_source
from modeldyno.compiler.frontends.torch.quantised import register
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.tools.inspection import inspect_artifact, lines
from tests.compiler.models import constant, conv_net, mlp, model, node, saved, tensor
from tests.compiler.quantised_models import SIGNED, STEP, WIDE, as_given, feeds_of, pair, quantised
from tests.compiler.sequence_models import encoder


def operators(net: onnx.ModelProto) -> Counter[str]:
    return Counter(each.op_type for each in net.graph.node)


def plain(net: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Give the float32 model that is compiled of a file."""
    read = read_onnx(saved(path, net), {})
    assert read.precision == "float32 (quantised file)"
    assert isinstance(read.model, onnx.ModelProto)
    return read.model


def far(net: onnx.ModelProto, path: Path) -> float:
    """Give how far the float32 form of a file is from the file, in steps of its pairs."""
    feeds = feeds_of(net)
    source = read_onnx(saved(path, net), {})
    (wanted,), (found,) = as_given(path, feeds), source.reference(feeds).values()
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    return float(np.abs(found.astype(np.float64) - wanted).max()) / STEP


def kernels(manifest: Manifest) -> Counter[str]:
    """Count the kernels by their kind, whatever is clipped in their epilogues."""
    kinds = [
        "_".join(part for part in each.kind.split("_") if part not in ("clip", "relu"))
        for each in manifest.kernels
        for _ in range(each.calls)
    ]
    return Counter(kinds)


@pytest.mark.parametrize("how", [{}, SIGNED, WIDE], ids=["uint8", "int8-channels", "uint16"])
def test_a_network_runs_the_kernels_of_its_float32_twin(tmp_path: Path, how: dict[str, object]) -> None:
    path = quantised(conv_net(), tmp_path / "net.onnx", **how)
    twin = compile_model(tmp_path / "float32_net.onnx", tmp_path / "twin", options=Options(verify=False))
    made = compile_model(path, tmp_path / "out")
    assert made.precision == "float32 (quantised file)"
    assert twin.precision == "float32"
    assert kernels(made) == kernels(twin)
    assert made.parity is not None
    assert made.parity.outputs[0].max_rel < 1e-5
    (distance,) = made.parity.given
    assert 0 < distance.max_rel < 0.05
    assert distance.cosine > 0.99
    assert made.parity.reference.endswith(" in float32")
    assert made.parity.given_tolerance is None
    assert not made.parity.given_unknown


def test_inspect_says_what_a_file_was_and_what_that_costs(tmp_path: Path) -> None:
    compile_model(saved(tmp_path / "net.onnx", pair()), tmp_path / "out")
    found = inspect_artifact(tmp_path / "out", host_facts())
    told = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines(found)}
    assert told["model"] == "net.onnx (onnx, float32)"
    assert told["precision"] == "float32 (quantised file)"
    assert "from the file in its own numbers (not judged)" in told["as given"]


def test_a_transformer_layer_compiles_for_several_shapes(tmp_path: Path) -> None:
    path = quantised(encoder(mask=False), tmp_path / "net.onnx", per_channel=True)
    made = compile_model(path, tmp_path / "out", shapes={"input_ids": (1, "4|8")})
    assert made.precision == "float32 (quantised file)"
    assert made.parity is not None
    assert [each.output for each in made.parity.given] == [spec.name for spec in made.outputs]
    feeds = {"input_ids": np.arange(8).reshape(1, 8) % 5}
    found = list(open_session(tmp_path / "out", threads=1).run(feeds).values())
    for got, wanted in zip(found, as_given(path, feeds), strict=True):
        assert np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()


def test_a_relu_that_the_tool_dropped_is_in_the_clip(tmp_path: Path) -> None:
    net = pair(zero=0)
    feeds = {"x": np.full((2, 4, 6), -7, np.float32)}
    source = read_onnx(saved(tmp_path / "net.onnx", net), {})
    assert not source.reference(feeds)["y"].any()
    feeds = {"x": np.full((2, 4, 6), 500, np.float32)}
    assert source.reference(feeds)["y"] == pytest.approx(255 * STEP)


MOVED = {
    "Reshape": ([node("Reshape", "q to", "m")], [constant("to", [4, 12])], 2),
    "Transpose": ([node("Transpose", "q", "m", perm=[2, 0, 1])], [], 3),
    "Flatten": ([node("Flatten", "q", "m")], [], 2),
    "Unsqueeze, Squeeze": (
        [node("Unsqueeze", "q at", "u"), node("Squeeze", "u at", "m")],
        [constant("at", [1])],
        3,
    ),
    "Slice": (
        [node("Slice", "q from to at", "m")],
        [constant("from", [1]), constant("to", [3]), constant("at", [1])],
        3,
    ),
    "Split, Concat": (
        [node("Split", "q", "a b", axis=1, num_outputs=2), node("Concat", "b a", "m", axis=0)],
        [],
        3,
    ),
    "Gather": ([node("Gather", "q ids", "m", axis=1)], [constant("ids", [2, 0])], 3),
    "Expand": ([node("Expand", "q to", "m")], [constant("to", [3, 2, 4, 6])], 4),
    "Tile": ([node("Tile", "q to", "m")], [constant("to", [1, 2, 1])], 3),
    "Pad with a number": (
        [node("Pad", "q by with", "m")],
        [constant("by", [0, 0, 1, 0, 0, 1]), constant("with", 9, "uint8")],
        3,
    ),
    "Pad with zero": ([node("Pad", "q by", "m")], [constant("by", [0, 0, 1, 0, 0, 1])], 3),
    "MaxPool": ([node("MaxPool", "q", "m", kernel_shape=[2])], [], 3),
    "ReduceMax": ([node("ReduceMax", "q at", "m", keepdims=0)], [constant("at", [1])], 2),
    "Max": ([node("Transpose", "q", "t", perm=[0, 1, 2]), node("Max", "q t", "m")], [], 3),
    "Identity": ([node("Identity", "q", "m")], [], 3),
}


@pytest.mark.parametrize("moves", MOVED.values(), ids=MOVED)
def test_whole_numbers_that_are_moved_are_floats_that_are_moved(
    tmp_path: Path, moves: tuple[list[onnx.NodeProto], list[onnx.TensorProto], int]
) -> None:
    nodes, values, rank = moves
    net = pair(nodes, "m", output=[None] * rank, initializers=values)
    left = operators(plain(net, tmp_path / "net.onnx"))
    assert not left["QuantizeLinear"]
    assert not left["DequantizeLinear"]
    assert not left["Cast"]
    assert far(net, tmp_path / "net.onnx") <= 0.51


def channels(operator: str, inputs: str, output: str, axis: int = 1) -> onnx.NodeProto:
    return node(operator, inputs, output, axis=axis)


@pytest.mark.parametrize("axis", [1, -2])
def test_a_pair_by_channel_clips_each_channel(tmp_path: Path, axis: int) -> None:
    scale, zero = (
        constant("s", [0.01, 0.02, 0.03, STEP], "float32"),
        constant("z", [0, 100, 128, 255], "uint8"),
    )
    nodes = [channels("QuantizeLinear", "x s z", "q", axis), channels("DequantizeLinear", "q s z", "y", axis)]
    net = model(nodes, [tensor("x", [2, 4, 6])], [tensor("y", [2, 4, 6])], [scale, zero])
    left = operators(plain(net, tmp_path / "net.onnx"))
    assert not left["QuantizeLinear"]
    assert left["Max"] == left["Min"] == 1
    assert far(net, tmp_path / "net.onnx") <= 0.51


def test_a_pair_by_channel_goes_with_a_transpose_only(tmp_path: Path) -> None:
    scale, zero = (
        constant("s", [0.01, 0.02, 0.03, STEP], "float32"),
        constant("z", [0, 100, 128, 255], "uint8"),
    )
    nodes = [
        channels("QuantizeLinear", "x s z", "q"),
        node("Transpose", "q", "t", perm=[1, 0, 2]),
        channels("DequantizeLinear", "t s z", "y", 0),
    ]
    net = model(nodes, [tensor("x", [2, 4, 6])], [tensor("y", [4, 2, 6])], [scale, zero])
    assert not operators(plain(net, tmp_path / "net.onnx"))["QuantizeLinear"]
    assert far(net, tmp_path / "net.onnx") <= 0.51
    # Reshaped, the channels are no axis any more: the whole numbers stay.
    nodes[1:] = [node("Reshape", "q to", "r"), channels("DequantizeLinear", "r s z", "y")]
    net = model(
        nodes, [tensor("x", [2, 4, 6])], [tensor("y", [4, 4, 3])], [scale, zero, constant("to", [4, 4, 3])]
    )
    assert operators(plain(net, tmp_path / "net.onnx"))["QuantizeLinear"] == 1
    assert far(net, tmp_path / "net.onnx") <= 1.01


def test_numbers_that_another_scale_reads(tmp_path: Path) -> None:
    net = pair([], "q", zero=3)
    net.graph.initializer.extend([constant("s2", 2 * STEP, "float32"), constant("z2", 7, "uint8")])
    net.graph.node[-1].CopyFrom(node("DequantizeLinear", "q s2 z2", "y"))
    assert not operators(plain(net, tmp_path / "net.onnx"))["QuantizeLinear"]
    assert far(net, tmp_path / "net.onnx") <= 1.01


def test_pairs_in_a_branch(tmp_path: Path) -> None:
    then, other = (
        helper.make_graph(
            [
                node("Add", f"x {name}", "a"),
                node("QuantizeLinear", "a s z", "q"),
                node("DequantizeLinear", "q s z", "out"),
            ],
            name,
            [],
            [tensor("out", [4])],
        )
        for name in ("s", "one")
    )
    nodes = [node("ReduceSum", "x", "sum", keepdims=0), node("Greater", "sum s", "c")]
    nodes.append(helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other))
    values = [constant("s", STEP, "float32"), constant("z", 128, "uint8"), constant("one", 1, "float32")]
    net = model(nodes, [tensor("x", [4])], [tensor("y", [4])], values)
    branches = [each.g for each in plain(net, tmp_path / "net.onnx").graph.node[-1].attribute]
    assert len(branches) == 2
    assert not any(each.op_type == "QuantizeLinear" for branch in branches for each in branch.node)
    assert far(net, tmp_path / "net.onnx") <= 0.51


def test_a_clip_that_cuts_nothing_off_is_left_out(tmp_path: Path) -> None:
    values = [constant("s", 1 / 255, "float32"), constant("z", 0, "uint8")]
    nodes = [
        node("Softmax", "x", "p", axis=-1),
        node("QuantizeLinear", "p s z", "q"),
        node("DequantizeLinear", "q s z", "y"),
    ]
    net = model(nodes, [tensor("x", [2, 8])], [tensor("y", [2, 8])], values)
    assert set(operators(plain(net, tmp_path / "net.onnx"))) == {"Softmax"}


def ends(kind: int = TensorProto.UINT8) -> onnx.ModelProto:
    """Take and give whole numbers: a matrix product between, and what it gives is given as floats too."""
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name
    values = [constant("s", STEP, "float32"), constant("z", 5, dtype), constant("so", 0.02, "float32")]
    values += [constant("w", np.linspace(-1, 1, 32).reshape(8, 4), "float32")]
    nodes = [
        node("DequantizeLinear", "x s z", "f"),
        node("MatMul", "f w", "m"),
        node("QuantizeLinear", "m so z", "q"),
        node("DequantizeLinear", "q so z", "y"),
    ]
    return model(nodes, [tensor("x", [3, 8], kind)], [tensor("q", [3, 4], kind), tensor("y", [3, 4])], values)


@pytest.mark.parametrize(
    "kind", [TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16], ids=["u8", "s8", "s16"]
)
def test_inputs_and_outputs_of_whole_numbers_keep_their_types(tmp_path: Path, kind: int) -> None:
    net = ends(kind)
    if kind == TensorProto.INT16:
        net.opset_import[0].version = 21
    path = saved(tmp_path / "net.onnx", net)
    made = compile_model(path, tmp_path / "out")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name
    assert [spec.dtype for spec in (*made.inputs, *made.outputs)] == [dtype, dtype, "float32"]
    limits = np.iinfo(dtype)
    for seed in range(20):
        feeds = {"x": np.random.default_rng(seed).integers(limits.min, limits.max + 1, (3, 8)).astype(dtype)}
        wanted = as_given(path, feeds)
        found = list(open_session(tmp_path / "out", threads=1).run(feeds).values())
        assert np.abs(found[0].astype(int) - wanted[0].astype(int)).max() <= 1
        assert np.abs(found[1] - wanted[1]).max() <= 0.021


def test_a_rounded_output_may_be_one_step_off_and_no_more(tmp_path: Path) -> None:
    source = read_onnx(saved(tmp_path / "net.onnx", ends()), {})
    assert source.rounded >= {"q"}
    from modeldyno.compiler.check.compare import compare
    from modeldyno.compiler.check.judgement import Bounds, judge

    wanted = np.array([3, 200, 7], np.uint8)
    bounds = Bounds(1e-4).of_steps(wanted)
    for off, verdict in ((1, "same"), (2, "differs")):
        row = compare("q", wanted, wanted + np.array([0, off, 0], np.uint8))
        assert judge(row, wanted, {}, bounds, lambda _units: 0.0).verdict == verdict


def test_biases_of_int32_and_quantised_tables(tmp_path: Path) -> None:
    values = [constant("s", STEP, "float32"), constant("sb", [0.001, 0.002, 0.003, 0.004], "float32")]
    values += [constant("b", [1000, -900, 800, 70000], "int32"), constant("zb", [0, 0, 0, 0], "int32")]
    values += [constant("table", np.arange(40).reshape(10, 4), "uint8"), constant("z", 20, "uint8")]
    nodes = [
        node("Gather", "table x", "rows"),
        node("DequantizeLinear", "rows s z", "f"),
        node("DequantizeLinear", "b sb zb", "bias", axis=0),
        node("Add", "f bias", "y"),
    ]
    net = model(nodes, [tensor("x", [3], TensorProto.INT64)], [tensor("y", [3, 4])], values)
    assert not operators(plain(net, tmp_path / "net.onnx"))["DequantizeLinear"]
    assert far(net, tmp_path / "net.onnx") <= 1e-4


def test_fake_quantised_weights_keep_their_rounding(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    values = [
        constant("s", [0.1, 0.2, 0.3, 0.4], "float32"),
        constant("z", [0] * 4, "int8"),
        constant("w", weights, "float32"),
    ]
    nodes = [
        channels("QuantizeLinear", "w s z", "q"),
        channels("DequantizeLinear", "q s z", "d"),
        node("MatMul", "x d", "y"),
    ]
    net = model(nodes, [tensor("x", [3, 8])], [tensor("y", [3, 4])], values)
    assert set(operators(plain(net, tmp_path / "net.onnx"))) == {"MatMul"}
    assert far(net, tmp_path / "net.onnx") <= 1e-4


def test_nothing_is_written_anew_in_a_float32_file(tmp_path: Path) -> None:
    source = read_onnx(saved(tmp_path / "net.onnx", mlp()), {})
    assert source.precision == "float32"
    assert source.given is None


def test_float_weights_are_not_quantised_again(tmp_path: Path) -> None:
    """ONNX Runtime's own rewrite would round weights between pairs, by one scale for all of a tensor."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    values = [constant("s", STEP, "float32"), constant("z", 128, "uint8"), constant("w", weights, "float32")]
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("Conv", "d w", "c"),
        node("QuantizeLinear", "c s z", "qc"),
        node("DequantizeLinear", "qc s z", "y"),
    ]
    net = model(nodes, [tensor("x", [1, 3, 8, 8])], [tensor("y", [1, 4, 6, 6])], values)
    kept = [numpy_helper.to_array(each) for each in plain(net, tmp_path / "net.onnx").graph.initializer]
    assert any(np.array_equal(each, weights) for each in kept)


@pytest.mark.parametrize(
    ("operator", "domain", "named"),
    [
        ("QLinearConv", "", "QuantFormat.QDQ"),
        ("QLinearAdd", "com.microsoft", "QuantFormat.QDQ"),
        ("MatMulNBits", "com.microsoft", "as it was before"),
    ],
)
def test_other_forms_are_refused_by_name(tmp_path: Path, operator: str, domain: str, named: str) -> None:
    net = model(
        [helper.make_node(operator, ["x"], ["y"], name="first", domain=domain)],
        [tensor("x", [2], TensorProto.UINT8)],
        [tensor("y", [2], TensorProto.UINT8)],
        domains=[domain] if domain else [],
    )
    with pytest.raises(ModelError, match=rf"{operator} \(the first: node 'first'\).*{named}.*fallback"):
        read_onnx(saved(tmp_path / "net.onnx", net), {})


def test_operators_on_whole_numbers_are_refused_as_the_tool_writes_them(tmp_path: Path) -> None:
    path = quantised(conv_net(), tmp_path / "net.onnx", quant_format=QuantFormat.QOperator)
    with pytest.raises(ModelError, match=r"QLinearConv.*QuantFormat.QDQ"):
        compile_model(path, tmp_path / "out")
    made = compile_model(path, tmp_path / "out", options=Options(fallback="onnxruntime"))
    assert made.needs_onnxruntime


def test_weights_of_four_bits_are_refused_by_name(tmp_path: Path) -> None:
    packed = helper.make_tensor("w", TensorProto.INT4, [4, 2], [1, 2, 3, 4, 5, 6, 7, -8])
    nodes = [node("DequantizeLinear", "w s", "d"), node("MatMul", "x d", "y")]
    net = model(
        nodes, [tensor("x", [3, 4])], [tensor("y", [3, 2])], [packed, constant("s", 0.5, "float32")], opset=21
    )
    net.ir_version = 10
    with pytest.raises(ModelError, match=r"type INT4 \(the first: 'w'\).*8 bits"):
        read_onnx(saved(tmp_path / "net.onnx", net), {})


def test_a_scale_that_is_computed_is_left_alone() -> None:
    nodes = [node("Abs", "t", "s"), node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s", "y")]
    net = model(nodes, [tensor("x", [4]), tensor("t", [])], [tensor("y", [4])])
    assert without_pairs(net) == {"q"}
    assert operators(net)["QuantizeLinear"] == operators(net)["DequantizeLinear"] == 1


def dynamic(net: onnx.ModelProto, path: Path, **how: object) -> Path:
    """Write a model as ONNX Runtime's tool does whose scales are found while it runs."""

    source = saved(path.parent / f"float32_{path.name}", net)
    quantize_dynamic(source, path, op_types_to_quantize=["MatMul", "Gather", "Gemm", "Conv"], **how)
    return path


@pytest.mark.parametrize(
    "how", [{}, {"per_channel": True, "weight_type": QuantType.QUInt8}], ids=["int8", "channels"]
)
@pytest.mark.parametrize("make", [mlp, conv_net], ids=["matmul", "conv"])
def test_scales_that_are_found_while_the_model_runs(
    tmp_path: Path, make: Callable[[], onnx.ModelProto], how: dict[str, object]
) -> None:
    path = dynamic(make(), tmp_path / "net.onnx", **how)
    assert operators(onnx.load(path))["DynamicQuantizeLinear"]
    net = read_onnx(path, {}).model
    assert isinstance(net, onnx.ModelProto)
    left = set(operators(net))
    assert not left & {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "Cast", "Mul"}
    made = compile_model(path, tmp_path / "out")
    assert made.precision == "float32 (quantised file)"
    assert made.parity is not None
    assert made.parity.given[0].cosine > 0.999


def test_a_transformer_layer_of_such_scales_for_several_shapes(tmp_path: Path) -> None:
    path = dynamic(encoder(mask=True), tmp_path / "net.onnx", extra_options={"MatMulConstBOnly": False})
    shapes = {"input_ids": (1, "4|8"), "attention_mask": (1, "4|8")}
    made = compile_model(path, tmp_path / "out", shapes=shapes)
    assert made.parity is not None
    assert min(each.cosine for each in made.parity.given) > 0.99


def test_sums_that_something_else_reads_stay_whole(tmp_path: Path) -> None:
    values = [constant("w", np.arange(-16, 16).reshape(8, 4), "int8"), constant("ws", 0.1, "float32")]
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z", "sums"),
        node("Cast", "sums", "c", to=TensorProto.FLOAT),
        node("Mul", "s ws", "scale"),
        node("Mul", "c scale", "y"),
        node("ReduceMax", "sums", "most", keepdims=0),
    ]
    outputs = [tensor("y", [3, 4]), tensor("most", [], TensorProto.INT32)]
    net = model(nodes, [tensor("x", [3, 8])], outputs, values)
    left = operators(plain(net, tmp_path / "net.onnx"))
    assert left["MatMul"] == left["MatMulInteger"] == left["DynamicQuantizeLinear"] == 1


class Pairs(torch.nn.Module):
    """A product as torch's PT2E quantises it: activations by tensor, weights by channel."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.register_buffer("w", torch.randint(-127, 127, (5, 8), dtype=torch.int8, generator=rng))
        self.register_buffer("scale", torch.linspace(0.005, 0.02, 5, dtype=torch.float64))
        self.register_buffer("zero", torch.zeros(5, dtype=torch.int64))

    def forward(self, x: Any) -> dict[str, Any]:
        ops = torch.ops.quantized_decomposed
        numbers = ops.quantize_per_tensor(x, STEP, 128, 0, 255, torch.uint8)
        x = ops.dequantize_per_tensor(numbers, STEP, 128, 0, 255, torch.uint8)
        w = ops.dequantize_per_channel(self.w, self.scale, self.zero, 0, -127, 127, torch.int8)
        return {"logits": torch.nn.functional.linear(x, w)}


def test_a_quantised_program_of_torch(tmp_path: Path) -> None:
    register()
    torch.export.save(torch.export.export(Pairs().eval(), (torch.randn(2, 8),)), tmp_path / "net.pt2")
    made = compile_model(tmp_path / "net.pt2", tmp_path / "out")
    assert made.precision == "float32 (quantised file)"
    assert made.road is not None
    assert made.road.name == "onnx"
    assert [spec.name for spec in made.outputs] == ["logits"]
    assert made.parity is not None
    assert made.parity.given[0].output == "logits"
    assert 0 < made.parity.given[0].max_rel < 0.05
    assert not {"quantize", "dequantize"} & {each.kind for each in made.kernels}


def test_a_file_of_the_first_opset_that_has_pairs(tmp_path: Path) -> None:
    net = pair(opset=10)
    assert not operators(plain(net, tmp_path / "net.onnx"))["QuantizeLinear"]
    assert far(net, tmp_path / "net.onnx") <= 0.51


def test_pairs_in_a_function_of_the_model(tmp_path: Path) -> None:
    body = [node("QuantizeLinear", "a s z", "q"), node("DequantizeLinear", "q s z", "b")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "Pair", ["a", "s", "z"], ["b"], body, opsets[:1])
    values = [constant("s", STEP, "float32"), constant("z", 3, "uint8")]
    call = helper.make_node("Pair", ["x", "s", "z"], ["y"], domain="own")
    net = model([call], [tensor("x", [2, 3])], [tensor("y", [2, 3])], values, domains=["own"])
    net.functions.append(function)
    assert not operators(plain(net, tmp_path / "net.onnx"))["QuantizeLinear"]
    assert far(net, tmp_path / "net.onnx") <= 0.51


def test_blocks_along_an_axis(tmp_path: Path) -> None:
    scales = np.linspace(0.01, STEP, 8).reshape(2, 2, 2).astype(np.float32)
    values = [constant("s", scales, "float32"), constant("z", np.arange(8).reshape(2, 2, 2), "uint8")]
    how = {"axis": 1, "block_size": 2}
    nodes = [
        node("QuantizeLinear", "x s z", "q", **how),
        node("DequantizeLinear", "q s z", "y", **how),
    ]
    net = model(nodes, [tensor("x", [2, 4, 2])], [tensor("y", [2, 4, 2])], values, opset=21)
    net.ir_version = 10
    assert not operators(plain(net, tmp_path / "net.onnx"))["QuantizeLinear"]
    assert far(net, tmp_path / "net.onnx") <= 0.51


def test_rounded_outputs_of_several_shapes_and_of_segments(tmp_path: Path) -> None:
    net = ends()
    for value in (*net.graph.input, *net.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    path = saved(tmp_path / "net.onnx", net)
    made = compile_model(path, tmp_path / "out", shapes={"x": ("1..4", 8)})
    assert made.buckets is not None
    assert [spec.dtype for spec in made.outputs] == ["uint8", "float32"]
    assert part_source(read_onnx(path, {"x": (2, 8)}), OnnxGraph(plain_at(path)), [0]).rounded >= {"q"}


def plain_at(path: Path) -> onnx.ModelProto:
    net = read_onnx(path, {"x": (2, 8)}).model
    assert isinstance(net, onnx.ModelProto)
    return net
