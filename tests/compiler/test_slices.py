"""Slices at the ends of what their bounds may be, in a graph and in a request, are those of ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from modeldyno.compiler import compile_model
from modeldyno.compiler.onnx_backend import ModeldynoBackend
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import Session
from tests.compiler.models import constant, model, node, saved, tensor

DATA = np.arange(12, dtype=np.float32).reshape(3, 4)
LEAST, MOST = -(2**63), 2**63 - 1
BOUNDS = ("begin", "end", "step")
SLICE = node("Slice", "x begin end axes step", "y")
ROWS = [
    ((2, MOST, -1), [2, 1, 0]),  # the largest number is "all that is left", backwards too
    ((2, LEAST, -1), [2, 1, 0]),
    ((2, 1, 1), []),
    ((1, 2, -1), []),
    ((LEAST, LEAST, -1), [0]),  # the begin is clamped to the axis
    ((5, 9, 1), []),
    ((0, MOST, 2), [0, 2]),
]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Give a session whose requests bring the bounds."""
    folder = tmp_path_factory.mktemp("slices")
    inputs = [tensor("x", DATA.shape), *(tensor(name, [1], TensorProto.INT64) for name in BOUNDS)]
    made = model([SLICE], inputs, [tensor("y", [None, 4])], [constant("axes", [0])])
    compile_model(saved(folder / "m.onnx", made), folder / "out", options=Options(verify=False))
    return Session.load(folder / "out")


@pytest.mark.parametrize(("bounds", "rows"), [*ROWS, ((0, MOST, MOST), [0]), ((2, LEAST, LEAST), [2])])
def test_a_request_brings_any_bounds(asked: Session, bounds: tuple[int, ...], rows: list[int]) -> None:
    given = {name: np.array([bound]) for name, bound in zip(BOUNDS, bounds, strict=True)}
    np.testing.assert_array_equal(asked.run({"x": DATA, **given})["y"], DATA[rows])


@pytest.mark.parametrize(("bounds", "rows"), ROWS[:5])
def test_so_does_a_graph(bounds: tuple[int, ...], rows: list[int]) -> None:
    known = [constant(name, [bound]) for name, bound in zip(BOUNDS, bounds, strict=True)]
    nodes = [node("Slice", "x begin end axes step", "s"), node("Concat", "s x", "y", axis=0)]
    inputs, outputs = [tensor("x", DATA.shape)], [tensor("y", [None, 4])]
    whole = model(nodes, inputs, outputs, [constant("axes", [0]), *known])
    np.testing.assert_array_equal(ModeldynoBackend.run_model(whole, [DATA])[0], DATA[[*rows, 0, 1, 2]])
