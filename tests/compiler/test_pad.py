"""Padding before a convolution: folded when it is spatial and zero, kept when it is anything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.graph.pad import fold_padding
from tests.compiler.relaxed import AVX512, Array, call_counts, module, run_default, run_staged

WEIGHT = np.random.default_rng(1).standard_normal((5, 3, 3, 3)).astype(np.float32)


def padded_conv(widths: list[int], value: float = 0.0, mode: str = "constant") -> Any:
    def body(builder: Any, x: Any) -> Any:
        padded = builder.emit(relax.op.nn.pad(x, widths, mode, value))
        channels = 3 + widths[2] + widths[3]
        weight = np.resize(WEIGHT, (5, channels, 3, 3))
        return builder.emit(
            relax.op.nn.conv2d(padded, relax.const(weight), padding=[1, 0, 0, 2], strides=[1, 2])
        )

    return module([(1, 3, 6, 7)], body)


def data() -> Array:
    return np.random.default_rng(0).standard_normal((1, 3, 6, 7)).astype(np.float32)


def test_spatial_zero_padding_becomes_the_convolutions_own() -> None:
    before = padded_conv([0, 0, 0, 0, 1, 2, 3, 0])
    after = fold_padding(before)
    assert call_counts(after) == {"nn.conv2d": 1}
    np.testing.assert_allclose(
        run_default(after, data())[0], run_default(before, data())[0], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "before",
    [
        padded_conv([0, 0, 0, 0, 1, 1, 1, 1], value=0.5),
        padded_conv([0, 0, 0, 0, 1, 1, 1, 1], mode="reflect"),
        padded_conv([0, 0, 1, 0, 1, 1, 1, 1]),
        padded_conv([0, 1, 0, 0, 1, 1, 1, 1]),
    ],
    ids=["of a value", "reflected", "of channels", "of the batch"],
)
def test_other_padding_is_kept(before: Any) -> None:
    assert call_counts(fold_padding(before)) == {"nn.pad": 1, "nn.conv2d": 1}


@pytest.mark.parametrize("widths", [(1, 1, 1, 1, 0, 0, 0, 0), (0, 7, 5, 0, 0, 1, 2, 0)])
def test_circular_padding_of_several_axes(widths: tuple[int, ...]) -> None:
    data = np.random.default_rng(0).standard_normal((3, 2, 33, 1)).astype(np.float32)
    before = module([data.shape], lambda builder, x: builder.emit(relax.op.nn.pad(x, widths, "circular")))
    found = run_staged(before, AVX512, data)[0]
    np.testing.assert_array_equal(found, np.pad(data, np.reshape(widths, (4, 2)), mode="wrap"))
