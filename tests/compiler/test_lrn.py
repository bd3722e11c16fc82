"""Local response normalization: found in what the ONNX front end gives, and right against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.graph.fold import fold
from modeldyno.compiler.graph.lrn import rewrite_lrn
from modeldyno.compiler.models import compile_model
from modeldyno.runtime.open import open_session
from tests.compiler.models import model, node, saved, tensor
from tests.compiler.relaxed import AVX512, Array, call_counts, module, run_staged

R = relax.op


def expected(data: Array, size: int, alpha: float, beta: float, bias: float) -> Array:
    """By the words of the ONNX operator: from ceil((size - 1) / 2) after to floor((size - 1) / 2) before."""
    square, total = data.astype(np.float64) ** 2, np.zeros(data.shape)
    for channel in range(data.shape[1]):
        low, high = max(0, channel - (size - 1) // 2), channel + -(-(size - 1) // 2)
        total[:, channel] = square[:, low : high + 1].sum(axis=1)
    return np.asarray(data / (bias + alpha / size * total) ** beta)


def chain(size: int = 5, *, alpha: float = 0.3, beta: float = 0.75, bias: float = 1.0, **changes: Any) -> Any:
    """Make what the front end makes; `changes` spoil it."""
    front = (size - 1) // 2
    padding = changes.get("padding", (front, 0, 0, size - 1 - front, 0, 0))

    def body(builder: Any, x: Any, other: Any) -> Any:
        square = builder.emit(R.multiply(x, other if "squared" in changes else x))
        cube = builder.emit(R.expand_dims(square, 1))
        window = changes.get("window", (size, 1, 1))
        mean = builder.emit(
            R.nn.avg_pool3d(
                cube, window, padding=padding, count_include_pad=changes.get("count_include_pad", True)
            )
        )
        flat = builder.emit(R.squeeze(mean, [1]))
        scaled = builder.emit(R.multiply(flat, relax.const(alpha, "float32")))
        shifted = builder.emit(R.add(scaled, relax.const(bias, "float32")))
        return builder.emit(R.divide(x, builder.emit(R.power(shifted, relax.const(beta, "float32")))))

    return module([(2, 7, 3, 5), (2, 7, 3, 5)], body)


def data() -> Array:
    return 3 * np.random.default_rng(0).standard_normal((2, 7, 3, 5)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 3, 4, 5])
@pytest.mark.parametrize("beta", [0.5, 0.75, 1.0, 0.6])
def test_a_normalization_becomes_a_convolution(size: int, beta: float) -> None:
    before = chain(size, beta=beta)
    counts = call_counts(rewrite_lrn(before))
    assert counts["nn.conv2d"] == 1
    assert not {"nn.avg_pool3d", "power", "expand_dims"} & counts.keys()
    found = run_staged(before, AVX512, data(), data())[0]
    np.testing.assert_allclose(found, expected(data(), size, 0.3, beta, 1.0), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    "spoiled",
    [
        chain(squared=True),
        chain(count_include_pad=False),
        chain(window=(5, 3, 1), padding=(2, 1, 0, 2, 1, 0)),
        chain(bias=-1.0),
        chain(alpha=-0.3),
    ],
    ids=["of another tensor", "mean of what is there", "over rows", "negative bias", "negative alpha"],
)
def test_what_looks_like_one_is_left(spoiled: Any) -> None:
    assert "nn.avg_pool3d" in call_counts(rewrite_lrn(spoiled))


@pytest.mark.parametrize("size", [3, 5])  # ONNX Runtime takes odd sizes only
def test_an_onnx_model_agrees_with_onnx_runtime(tmp_path: Path, size: int) -> None:
    made = model(
        [node("LRN", "x", "y", size=size, alpha=0.2, beta=0.75, bias=2.0)],
        [tensor("x", [1, 17, 5, 7])],
        [tensor("y", [1, 17, 5, 7])],
    )
    path = saved(tmp_path / "model.onnx", made)
    imported = fold(read_model(path, {}).import_relax())
    assert "nn.conv2d" in call_counts(rewrite_lrn(imported))
    manifest = compile_model(path, tmp_path / "artifact")
    assert manifest.parity is not None  # compile_model compares with ONNX Runtime and raises otherwise
    open_session(tmp_path / "artifact", 1)
