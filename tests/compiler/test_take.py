"""Indices that a request brings stay within what is there: an id beyond the vocabulary ends no process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from compiler import compile_model
from tests.compiler.models import model, node, saved, tensor
from tests.compiler.test_compile_cli import dyno

ROWS = np.arange(12).reshape(4, 3)


@pytest.mark.parametrize(
    ("dtype", "kind", "expected"),
    [
        ("float32", TensorProto.FLOAT, [[0, 1, 2], [9, 10, 11], [np.nan] * 3, [np.nan] * 3, [9, 10, 11]]),
        ("int64", TensorProto.INT64, [[0, 1, 2], [9, 10, 11], [9, 10, 11], [0, 1, 2], [9, 10, 11]]),
    ],
)
def test_what_lies_beyond_is_not_read(tmp_path: Path, dtype: str, kind: int, expected: list[object]) -> None:
    made = model(
        [node("Gather", "table ids", "y")],
        [tensor("ids", [5], TensorProto.INT64)],
        [tensor("y", [5, 3], kind)],
        [onnx.numpy_helper.from_array(ROWS.astype(dtype), "table")],
    )
    compile_model(saved(tmp_path / "m.onnx", made), tmp_path / "out")
    np.save(tmp_path / "ids.npy", np.array([0, 3, 10**12, -(10**12), -1]))
    # In a process of its own, which reading beyond would end.
    done = dyno("run", tmp_path / "out", "--input", tmp_path / "ids.npy", "-o", tmp_path, "--repeat", "1")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.array(expected, dtype))
