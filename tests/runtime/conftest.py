"""One compiled model for all the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.compiler import compile_model
from tests.compiler.models import mlp, model, node, saved, tensor, weights


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLP of one input, x (2 x 8), and one output, y (2 x 3)."""
    folder = tmp_path_factory.mktemp("artifact")
    compile_model(saved(folder / "mlp.onnx", mlp()), folder / "out")
    return folder / "out"


@pytest.fixture(scope="session")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product large enough to be shared among threads: a (64 x 256) times w, plus b; and a itself."""
    made = model(
        [node("MatMul", "a w", "p"), node("Add", "p b", "sum"), node("Identity", "a", "same")],
        [tensor("a", [64, 256]), tensor("b", [64, 256])],
        [tensor("sum", [64, 256]), tensor("same", [64, 256])],
        [weights("w", 256, 256)],
    )
    folder = tmp_path_factory.mktemp("two")
    compile_model(saved(folder / "two.onnx", made), folder / "out")
    return folder / "out"
