"""Clip: one operator whatever the front end made of it, and ONNX Runtime's answer for all numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tvm import relax

from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.graph.clip import find_clips
from tests.compiler.models import constant, model, node, saved, tensor
from tests.compiler.relaxed import AVX2, AVX512, Array, call_counts, module, run_staged

INFINITE, NAN = float("inf"), float("nan")
# More than one vector, so that both the vectors and the rest are seen.
EDGES = np.array([NAN, -1, 7, 3, INFINITE, -INFINITE, -0.0, 0.5] * 5, np.float32)


def clip_model(kind: int, size: int, low: Any, high: Any) -> onnx.ModelProto:
    dtype = helper.tensor_dtype_to_np_dtype(kind).name
    given = [
        constant(name, value, dtype) for name, value in (("low", low), ("high", high)) if value is not None
    ]
    names = ["x", "" if low is None else "low", *([] if high is None else ["high"])]
    clip = helper.make_node("Clip", names, ["y"])
    return model([clip], [tensor("x", [size], kind)], [tensor("y", [size], kind)], given)


def old_clip(size: int, opset: int, **bounds: float) -> onnx.ModelProto:
    clip = node("Clip", "x", "y", **bounds)
    return model([clip], [tensor("x", [size])], [tensor("y", [size])], opset=opset)


def both(tmp_path: Path, made: onnx.ModelProto, data: Array) -> tuple[Array, Array, dict[str, int]]:
    """What ONNX Runtime gives, what our stages give, and the operators that the front end leaves."""
    source = read_onnx(saved(tmp_path / "clip.onnx", made), {})
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    mod = source.import_relax()
    return session.run(None, {"x": data})[0], run_staged(mod, AVX512, data)[0], call_counts(mod)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 6), (-1, None), (None, 2), (NAN, 6), (0, NAN), (5, 2), (-INFINITE, INFINITE), (0.25, INFINITE)],
)
def test_clip_of_floats_is_onnx_runtimes(tmp_path: Path, low: Any, high: Any) -> None:
    wanted, found, left = both(tmp_path, clip_model(TensorProto.FLOAT, EDGES.size, low, high), EDGES)
    np.testing.assert_array_equal(found, wanted)
    assert left == {"clip": 1}


@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.INT64, "int64"), (TensorProto.INT32, "int32")])
@pytest.mark.parametrize(("low", "high"), [(-2, 3), (1, None), (None, -1)])
def test_clip_of_whole_numbers_is_onnx_runtimes(
    tmp_path: Path, kind: int, dtype: str, low: Any, high: Any
) -> None:
    data = np.arange(-20, 20).astype(dtype)
    wanted, found, left = both(tmp_path, clip_model(kind, data.size, low, high), data)
    np.testing.assert_array_equal(found, wanted)
    assert sum(left.values()) == 1
    assert "call_tir" not in left


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE])
def test_clip_of_doubles_keeps_their_digits(tmp_path: Path, kind: int) -> None:
    data, low = np.linspace(-1, 1, 40), 1 / 3
    wanted, found, _ = both(tmp_path, clip_model(kind, data.size, low, None), data)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("opset", [6, 10])
@pytest.mark.parametrize("bounds", [{"min": 0.0, "max": 6.0}, {"min": -0.5}, {"max": 0.25}])
def test_clip_with_its_bounds_in_attributes_is_onnx_runtimes(
    tmp_path: Path, opset: int, bounds: dict[str, float]
) -> None:
    wanted, found, left = both(tmp_path, old_clip(EDGES.size, opset, **bounds), EDGES)
    finite = np.isfinite(EDGES)
    np.testing.assert_array_equal(found[finite], wanted[finite])
    assert left == {"clip": 1}


def test_bounds_that_are_no_constants_stay_what_they_were(tmp_path: Path) -> None:
    clip = helper.make_node("Clip", ["x", "low"], ["y"])
    made = model([clip], [tensor("x", [40]), tensor("low", [])], [tensor("y", [40])])
    mod = read_onnx(saved(tmp_path / "clip.onnx", made), {}).import_relax()
    assert call_counts(mod)["call_tir"] == 1
    assert "clip" not in call_counts(mod)


def test_a_tensor_program_of_another_kind_is_left_alone() -> None:
    def body(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.minimum(x, relax.const(np.float32(2))))

    mod = module([(4,)], body)
    assert call_counts(find_clips(mod)) == call_counts(mod)


@pytest.mark.parametrize("machine", [AVX512, AVX2])
@pytest.mark.parametrize(
    ("operator", "bounds"),
    [(relax.op.nn.relu, (0, INFINITE)), (lambda x: relax.op.clip(x, -1, 1), (-1, 1))],
)
def test_what_is_not_a_number_stays_so(machine: Any, operator: Any, bounds: tuple[float, float]) -> None:
    mod = module([EDGES.shape], lambda builder, x: builder.emit(operator(x)))
    found = run_staged(mod, machine, EDGES)[0]
    np.testing.assert_array_equal(found, np.clip(EDGES, bounds[0], bounds[1]))
