"""A good compile writes its own progress lines to stderr, and nothing of the libraries below it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.compiler.models import constant, model, node, tensor

X = [1, 2, 8, 8]


def regions() -> onnx.ModelProto:
    """ONNX Runtime logs a warning for each kernel of RoiAlign's mode max."""
    nodes = [
        node("RoiAlign", "x r b", "y", output_height=2, output_width=2, mode="max"),
        node("Relu", "y", "z"),
    ]
    values = [constant("r", [[0, 0, 4, 4]], "float32"), constant("b", [0])]
    return model(nodes, [tensor("x", X)], [tensor("z", [1, 2, 2, 2])], values)


def taken_apart() -> onnx.ModelProto:
    """The front end does not know the operator: TVM says of the import that ended early that it did."""
    return model([node("Celu", "x", "y", alpha=1.5)], [tensor("x", X)], [tensor("y", X)])


def infinite() -> onnx.ModelProto:
    """Numpy says of an overflow in folded constants that there was one."""
    nodes = [node("Exp", "c", "e"), node("Div", "e n", "i"), node("Min", "x i", "y")]
    values = [constant("c", np.full(8, 400), "float32"), constant("n", np.zeros(8), "float32")]
    return model(nodes, [tensor("x", X)], [tensor("y", X)], values)


@pytest.mark.parametrize("make", [regions, taken_apart, infinite])
def test_only_our_own_lines_are_on_stderr(make: object, tmp_path: Path) -> None:
    onnx.save(make(), tmp_path / "m.onnx")  # type: ignore[operator]
    command = [
        sys.executable,
        "-m",
        "modeldyno",
        "compile",
        str(tmp_path / "m.onnx"),
        "-o",
        str(tmp_path / "a"),
    ]
    command += ["--fallback", "onnxruntime"] if make is regions else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    foreign = [
        line for line in done.stderr.splitlines() if not re.match(r"target: |limits: | *\d+\.\ds  ", line)
    ]
    assert foreign == []
