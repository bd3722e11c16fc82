"""Element-wise functions in a row, alone and behind a convolution: compiled in seconds, and right."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from modeldyno.compiler import compile_model
from tests.compiler.models import model, tensor, weights


def in_a_row(functions: list[str], shape: list[int], *, conv: bool = False) -> onnx.ModelProto:
    nodes = [helper.make_node("Conv", ["x", "w"], ["t0"], pads=[1, 1, 1, 1])] if conv else []
    names = ["t0" if conv else "x", *(f"t{number + 1}" for number in range(len(functions)))]
    for function, read, written in zip(functions, names, names[1:], strict=False):
        nodes.append(helper.make_node(function, [read], [written]))
    out = [1, 32, *shape[2:]] if conv else shape
    given = [weights("w", 32, 3, 3, 3)] if conv else []
    return model(nodes, [tensor("x", shape)], [tensor(names[-1], out)], given, opset=18)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("functions", [["Softplus", "Tanh"], ["Mish"], ["Mish", "Mish"]])
def test_a_convolution_and_its_activation(tmp_path: Path, functions: list[str]) -> None:
    onnx.save(in_a_row(functions, [1, 3, 64, 64], conv=True), tmp_path / "m.onnx")
    assert compile_model(tmp_path / "m.onnx", tmp_path / "a").parity is not None


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "functions",
    [
        ["Tanh"] * 6,
        ["Sigmoid"] * 8,
        ["Erf"] * 6,
        ["Exp", "Neg", "Tanh", "Abs", "Log"] * 2,
        ["Relu", "Neg"] * 20,
    ],
    ids=lambda functions: f"{len(functions)} {functions[0]}",
)
def test_a_chain(tmp_path: Path, functions: list[str]) -> None:
    onnx.save(in_a_row(functions, [2, 8]), tmp_path / "m.onnx")
    assert compile_model(tmp_path / "m.onnx", tmp_path / "a").parity is not None


@pytest.mark.slow
def test_a_chain_of_fifteen_hundred(tmp_path: Path) -> None:
    onnx.save(in_a_row(["Sin", "Tanh"] * 750, [2, 8]), tmp_path / "m.onnx")
    assert compile_model(tmp_path / "m.onnx", tmp_path / "a").parity is not None
