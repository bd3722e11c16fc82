"""Models compiled for several shapes, and what runs their sources: for the tests of compiler and runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Arrays = dict[str, npt.NDArray[Any]]


@lru_cache
def source(path: Path) -> Callable[[Arrays], Arrays]:
    """Run an ONNX file as it is."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(names, feeds), strict=True))


def same(found: Arrays, expected: Arrays) -> None:
    """Compare names, shapes, types and values."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


def numbers(rows: int) -> Arrays:
    """Make inputs of the model `counted`."""
    return {"x": np.random.default_rng(rows).integers(0, 9, (rows, 6, 6, 8), np.uint8)}
