"""Right results that a bound relative to the largest value alone refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from modeldyno.base.errors import ParityError
from modeldyno.compiler import Options, compile_model
from modeldyno.runtime.records.parity import Parity, ParityReport
from tests.compiler.models import constant, model, node, saved, tensor, weights
from tests.compiler.test_build import wrong_stage


def made(
    nodes: list[Any], inputs: list[Any], values: list[Any], kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    net = model(nodes, inputs, [tensor("y", [None], kind)], values, opset=18)
    net.graph.output[0].type.tensor_type.ClearField("shape")
    return net


def left_over() -> onnx.ModelProto:
    """What is left of 1 without the sum of a softmax: rounding residue."""
    nodes = [node("Softmax", "x", "p"), node("ReduceSum", "p axes", "s"), node("Sub", "one s", "y")]
    return made(nodes, [tensor("x", [4, 50])], [constant("axes", [1]), constant("one", 1, "float32")])


def report(net: onnx.ModelProto, folder: Path, **options: Any) -> ParityReport:
    manifest = compile_model(saved(folder / "net.onnx", net), folder / "out", options=Options(**options))
    assert manifest.parity is not None
    return manifest.parity


def row(net: onnx.ModelProto, folder: Path) -> Parity:
    return report(net, folder).outputs[0]


def test_an_output_of_zeros(tmp_path: Path) -> None:
    found = row(made([node("LogSoftmax", "x", "y", axis=-1)], [tensor("x", [4, 1])], []), tmp_path)
    assert found.decided
    assert found.max_abs <= 8 * 2.0**-23 * 4


def test_rounding_residue_is_kept_and_not_decided(tmp_path: Path) -> None:
    found = row(left_over(), tmp_path)
    assert not found.decided
    assert found.delta is not None
    assert found.delta >= 2.0**-25


def test_a_divisor_that_is_an_input_is_never_drawn_as_zero(tmp_path: Path) -> None:
    inputs = [tensor(name, [4], TensorProto.INT64) for name in "xb"]
    found = report(made([node("Div", "x b", "y")], inputs, [], TensorProto.INT64), tmp_path)
    assert [sample.redrawn for sample in found.samples if sample.kind == "normal"] == [0]
    assert found.outputs[0].max_abs == 0


def half_net() -> onnx.ModelProto:
    values = [constant(name, np.random.default_rng(0).normal(0, 0.2, (32, 32)), "float16") for name in "wv"]
    nodes = [node("MatMul", "x w", "h"), node("Tanh", "h", "t"), node("MatMul", "t v", "y")]
    return made(nodes, [tensor("x", [4, 32], TensorProto.FLOAT16)], values, TensorProto.FLOAT16)


def test_half_precision_is_held_to_its_own_step(tmp_path: Path) -> None:
    found = row(half_net(), tmp_path)
    assert found.decided
    assert found.tolerance == 1e-4
    assert found.delta is not None
    assert found.delta >= 2.0**-12


def test_wrong_weights_of_half_precision_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modeldyno.compiler.graph.rewrite import rewrite
    from tests.compiler import relaxed

    def spoiled(mod: Any, _factor: float) -> Any:
        return rewrite(mod, lambda _builder, _var, value: _turned(value))

    monkeypatch.setattr(relaxed, "scaled_constants", spoiled)
    wrong_stage(monkeypatch)
    with pytest.raises(ParityError, match="output 'y' differs"):
        report(half_net(), tmp_path)


def _turned(value: Any) -> Any:
    """Give a call with its constants upside down."""
    from tvm import ir, relax

    if not isinstance(value, relax.Call):
        return value
    args = [
        relax.const(each.value.numpy()[::-1].copy()) if isinstance(each, ir.GenericConst) else each
        for each in value.args
    ]
    return relax.Call(value.op, args, value.attrs, value.ty_args)


def detector() -> onnx.ModelProto:
    """Sigmoids far from any text: all outputs lie below 6e-5."""
    values = [weights("w", 8, 3, 3, 3), weights("v", 1, 8, 1, 1), constant("off", -14, "float32")]
    nodes = [
        node("Conv", "x w", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Conv", "r v", "l", kernel_shape=[1, 1]),
        node("Add", "l off", "o"),
        node("Sigmoid", "o", "y"),
    ]
    return made(nodes, [tensor("x", [1, 3, 24, 24])], values)


def test_a_text_detector_that_finds_no_text(tmp_path: Path) -> None:
    found = row(detector(), tmp_path)
    # ONNX Runtime's Sigmoid is a difference of values near 1/2: far from zero it is right to 1e-7 only.
    assert found.delta is not None
    assert found.max_abs < 64 * found.delta < 1e-4


def test_an_index_that_ties_decide_is_kept(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "l"), node("Softmax", "l", "p"), node("ArgMax", "p", "y", axis=1)]
    net = made(nodes, [tensor("x", [16, 8])], [constant("w", np.ones((8, 40)), "float32")], TensorProto.INT64)
    assert {sample.kind for sample in report(net, tmp_path).samples} >= {"normal", "equal", "zeros"}


def test_a_model_of_whole_numbers_alone(tmp_path: Path) -> None:
    nodes = [node("Gather", "t ids", "g"), node("MatMul", "g w", "y")]
    net = made(nodes, [tensor("ids", [6], TensorProto.INT64)], [weights("t", 30, 16), weights("w", 16, 5)])
    found = report(net, tmp_path)
    assert found.outputs[0].decided
    assert {sample.kind for sample in found.samples} == {"normal", "ends", "zeros"}
