"""Channels last: where the transposes are afterwards, and the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.graph.layout import channels_last
from tests.compiler.relaxed import Array, call_counts, module, run_default

SHAPE = (1, 3, 8, 8)
Body = Callable[[Any, Any], Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def conv(builder: Any, data: Any, out: int = 4, depth: int = 3, **attributes: Any) -> Any:
    weight = normal(out, depth, 3, 3, seed=out)
    return builder.emit(relax.op.nn.conv2d(data, relax.const(weight), padding=[1, 1], **attributes))


def checked(body: Body) -> dict[str, int]:
    """Count the operators of the module in channels-last form, after seeing that it computes the same."""
    before = module([SHAPE], body)
    after = channels_last(before)
    data = normal(*SHAPE)
    for found, expected in zip(run_default(after, data), run_default(before, data), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    return call_counts(after)


def test_convolutions_in_a_row_share_two_transposes() -> None:
    def body(builder: Any, x: Any) -> Any:
        hidden = builder.emit(relax.op.nn.relu(conv(builder, x)))
        return conv(builder, hidden, 5, 4)

    assert checked(body) == {"permute_dims": 2, "nn.conv2d": 2, "nn.relu": 1}


AFTER_CONV: dict[str, Callable[[Any, Any], Any]] = {
    "constant of all ranks": lambda b, y: b.emit(
        relax.op.add(b.emit(relax.op.multiply(y, relax.const(normal(4, 1, 1)))), relax.const(normal(8)))
    ),
    "scalar": lambda b, y: b.emit(relax.op.multiply(y, relax.const(np.float32(3)))),
    "scalar on the left": lambda b, y: b.emit(relax.op.subtract(relax.const(np.float32(3)), y)),
    "clip": lambda b, y: b.emit(relax.op.clip(y, 0, 6)),
    "max pool": lambda b, y: b.emit(relax.op.nn.max_pool2d(y, (3, 3), strides=(2, 2), padding=(1, 1))),
    "avg pool": lambda b, y: b.emit(relax.op.nn.avg_pool2d(y, (2, 3), strides=(2, 1), ceil_mode=True)),
    "adaptive pool": lambda b, y: b.emit(relax.op.nn.adaptive_avg_pool2d(y, (2, 3))),
    "mean of pixels": lambda b, y: b.emit(relax.op.mean(y, axis=[2, 3])),
    "mean of pixels, kept": lambda b, y: b.emit(relax.op.mean(y, axis=[-2, -1], keepdims=True)),
    "sum of channels, kept": lambda b, y: b.emit(relax.op.sum(y, axis=[1], keepdims=True)),
    "concat of channels": lambda b, y: b.emit(relax.op.concat([y, b.emit(relax.op.nn.relu(y))], axis=1)),
    "concat of a constant": lambda b, y: b.emit(
        relax.op.concat([relax.const(normal(1, 2, 8, 8)), y], axis=-3)
    ),
    "concat of rows": lambda b, y: b.emit(relax.op.concat([y, y], axis=2)),
    "pad": lambda b, y: b.emit(relax.op.nn.pad(y, [0, 0, 1, 0, 0, 2, 3, 0], "constant", 1.5)),
    "reflecting pad": lambda b, y: b.emit(relax.op.nn.pad(y, [0, 0, 0, 0, 1, 2, 2, 1], "reflect")),
}


@pytest.mark.parametrize("name", AFTER_CONV)
def test_what_follows_a_convolution_reads_its_twin(name: str) -> None:
    counts = checked(lambda builder, x: AFTER_CONV[name](builder, conv(builder, x)))
    result_has_four_axes = name != "mean of pixels"
    assert counts["permute_dims"] == (2 if result_has_four_axes else 1)


READS_THE_ORIGINAL: dict[str, Callable[[Any, Any], Any]] = {
    "mean of channels": lambda b, y: b.emit(relax.op.mean(y, axis=[1])),
    "mean of rows": lambda b, y: b.emit(relax.op.mean(y, axis=[3])),
    "mean of all": lambda b, y: b.emit(relax.op.mean(y)),
    "reshape": lambda b, y: b.emit(relax.op.reshape(y, (1, -1))),
    "softmax of channels": lambda b, y: b.emit(relax.op.nn.softmax(y, axis=1)),
    "matmul": lambda b, y: b.emit(relax.op.matmul(y, relax.const(normal(8, 5)))),
    "constant of five axes": lambda b, y: b.emit(relax.op.add(y, relax.const(normal(2, 1, 4, 1, 1)))),
    "dropout": lambda b, y: b.emit(relax.TupleGetItem(b.emit(relax.op.nn.dropout(y, 0.0)), 0)),
}


@pytest.mark.parametrize("name", READS_THE_ORIGINAL)
def test_what_knows_no_twin_reads_the_transposed_back_tensor(name: str) -> None:
    assert (
        checked(lambda builder, x: READS_THE_ORIGINAL[name](builder, conv(builder, x)))["permute_dims"] == 2
    )


def test_a_residual_of_the_input_gets_a_twin_too() -> None:
    counts = checked(lambda builder, x: builder.emit(relax.op.add(x, conv(builder, x, out=3))))
    assert counts == {"permute_dims": 2, "nn.conv2d": 1, "add": 1}


@pytest.mark.parametrize("groups", [1, 3])
def test_strides_dilation_and_groups_are_kept(groups: int) -> None:
    def body(builder: Any, x: Any) -> Any:
        return conv(builder, x, out=6, depth=3 // groups, groups=groups, strides=[2, 1], dilation=[1, 2])

    assert checked(body) == {"permute_dims": 2, "nn.conv2d": 1}


def test_a_model_without_convolutions_is_left_alone() -> None:
    assert checked(lambda builder, x: builder.emit(relax.op.nn.relu(x))) == {"nn.relu": 1}
