"""Compiling a small model and comparing its answers with ONNX Runtime's, element by element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from modeldyno.compiler import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from tests.compiler.models import saved
from tests.compiler.relaxed import Array

if TYPE_CHECKING:
    import onnx


class Both:
    """A model compiled, and in ONNX Runtime without its optimizations."""

    def __init__(self, folder: Path, model: onnx.ModelProto) -> None:
        # Random inputs may well be unfit: the tests give their own.
        compile_model(saved(folder / "model.onnx", model), folder / "artifact", options=Options(verify=False))
        self.ours = open_session(folder / "artifact", threads=1)
        plain = onnxruntime.SessionOptions()
        plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.theirs = onnxruntime.InferenceSession(
            model.SerializeToString(), plain, providers=["CPUExecutionProvider"]
        )

    def differing(self, feeds: Mapping[str, Array], rtol: float = 1e-5) -> list[str]:
        """Name the outputs that differ, NaN and infinities included, with the first place of each."""
        expected: Sequence[Array] = self.theirs.run(None, dict(feeds))
        found = self.ours.run(dict(feeds))
        said = []
        for spec, wanted in zip(self.theirs.get_outputs(), expected, strict=True):
            got = found[spec.name]
            same = np.isclose(got, wanted, rtol=rtol, atol=1e-6, equal_nan=True)
            if got.dtype != wanted.dtype or not same.all():
                at = tuple(map(int, np.argwhere(~same)[0])) if same.ndim and not same.all() else ()
                said.append(f"{spec.name} at {at}: {got[at]}, expected {wanted[at]}")
        return said
