"""Indices that a request brings stay within what is there: an id beyond the vocabulary ends no process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from modeldyno.compiler import compile_model
from tests.compiler.models import model, node, saved, tensor
from tests.compiler.test_compile_cli import dyno

ROWS = np.arange(12).reshape(4, 3)


@pytest.mark.parametrize(("dtype", "kind"), [("float32", TensorProto.FLOAT), ("int64", TensorProto.INT64)])
def test_what_lies_beyond_is_not_read_but_told(tmp_path: Path, dtype: str, kind: int) -> None:
    made = model(
        [node("Gather", "table ids", "y", name="lookup")],
        [tensor("ids", [3], TensorProto.INT64)],
        [tensor("y", [3, 3], kind)],
        [onnx.numpy_helper.from_array(ROWS.astype(dtype), "table")],
    )
    compile_model(saved(tmp_path / "m.onnx", made), tmp_path / "out")

    def run(*ids: int) -> tuple[int, str]:
        np.save(tmp_path / "ids.npy", np.array(ids))
        # In a process of its own, which reading beyond would end.
        done = dyno("run", tmp_path / "out", "--input", tmp_path / "ids.npy", "-o", tmp_path, "--repeat", "1")
        return done.returncode, done.stderr

    assert run(0, 3, -1) == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), ROWS[[0, 3, 3]].astype(dtype))
    code, said = run(0, 3, 10**12)
    assert (
        code,
        "Gather 'lookup': its input 'ids' holds 1000000000000 at [2]; it takes -4 to 3" in said,
    ) == (
        2,
        True,
    )
