"""An If whose other branch does not fit the fixed shape, as in speech models for two sample rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modeldyno.base.errors import ModelError
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Fallback, Options
from modeldyno.runtime.open import open_session
from tests.compiler.models import constant, model, node, tensor


def branch(width: int, name: str, *, inner: str = "r") -> onnx.GraphProto:
    """Rows of `width` numbers times ones; both branches use the name `inner`, as exporters do."""
    return helper.make_graph(
        [node("Reshape", f"x s{name}", inner), node("MatMul", f"{inner} w{name}", f"y{name}")],
        name,
        [],
        [tensor(f"y{name}", [None, 4])],
        [constant(f"s{name}", [-1, width]), constant(f"w{name}", np.full((width, 4), width), "float32")],
    )


def two_rates(other: int = 12) -> onnx.ModelProto:
    nodes = [
        node("Equal", "sr k", "c"),
        node("If", "c", "y", then_branch=branch(16, "a"), else_branch=branch(other, "b")),
    ]
    inputs = [tensor("x", ["n", "m"]), tensor("sr", [], TensorProto.INT64)]
    return model(nodes, inputs, [tensor("y", [None, 4])], [constant("k", 16000)])


@pytest.mark.parametrize("fallback", [None, "onnxruntime"])
def test_the_branch_that_fits_the_shape_is_compiled(fallback: Fallback | None, tmp_path: Path) -> None:
    onnx.save(two_rates(), tmp_path / "m.onnx")
    options = Options(fallback=fallback)
    compile_model(tmp_path / "m.onnx", tmp_path / "a", shapes={"x": (1, 16)}, options=options)
    feeds = {"x": np.ones((1, 16), np.float32), "sr": np.array(16000)}
    assert open_session(tmp_path / "a").run(feeds)["y"].tolist() == [[256.0] * 4]
    compile_model(tmp_path / "m.onnx", tmp_path / "b", shapes={"x": (1, 12)}, options=options)
    feeds = {"x": np.ones((1, 12), np.float32), "sr": np.array(8000)}
    assert open_session(tmp_path / "b").run(feeds)["y"].tolist() == [[144.0] * 4]


def test_a_branch_within_a_branch(tmp_path: Path) -> None:
    inner = two_rates()
    outer = helper.make_graph(list(inner.graph.node), "outer", [], [tensor("y", [None, 4])])
    nodes = [node("If", "flag", "z", then_branch=outer, else_branch=branch(7, "q"))]
    inputs = [*inner.graph.input, tensor("flag", [], TensorProto.BOOL)]
    onnx.save(
        model(nodes, inputs, [tensor("z", [None, 4])], list(inner.graph.initializer)), tmp_path / "m.onnx"
    )
    compile_model(tmp_path / "m.onnx", tmp_path / "a", shapes={"x": (1, 16)})
    feeds = {"x": np.ones((1, 16), np.float32), "sr": np.array(16000), "flag": np.array(True)}
    assert open_session(tmp_path / "a").run(feeds)["z"].tolist() == [[256.0] * 4]


def test_shapes_that_no_branch_takes_are_to_blame_not_the_file(tmp_path: Path) -> None:
    onnx.save(two_rates(), tmp_path / "m.onnx")
    with pytest.raises(
        ModelError, match=r"can be loaded as it is, but not with its inputs fixed to x \[1, 5\]"
    ):
        compile_model(tmp_path / "m.onnx", tmp_path / "a", shapes={"x": (1, 5)})


def test_both_branches_stay_where_both_fit(tmp_path: Path) -> None:
    onnx.save(two_rates(8), tmp_path / "m.onnx")
    compile_model(tmp_path / "m.onnx", tmp_path / "a", shapes={"x": (1, 16)})
    session = open_session(tmp_path / "a")
    x = np.ones((1, 16), np.float32)
    assert session.run({"x": x, "sr": np.array(16000)})["y"].tolist() == [[256.0] * 4]
    assert session.run({"x": x, "sr": np.array(8000)})["y"].tolist() == [[64.0] * 4] * 2
