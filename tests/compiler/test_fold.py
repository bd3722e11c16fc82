"""Folding of constants and BatchNorm: by operator counts, and by running both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.graph.fold import GROWTH_LIMIT_BYTES, fold, fold_batch_norm
from modeldyno.compiler.graph.rewrite import clean
from tests.compiler.relaxed import Array, call_counts, module, run_default


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def batch_norm(builder: Any, data: Any, channels: int, **attributes: Any) -> Any:
    statistics = [normal(channels, seed=seed) for seed in (1, 2, 3)] + [
        np.abs(normal(channels, seed=4)) + 0.5
    ]
    options = {"axis": 1, "training": False, **attributes}
    both = builder.emit(relax.op.nn.batch_norm(data, *map(relax.const, statistics), **options))
    return builder.emit(relax.TupleGetItem(both, 0))


def conv_bn(conv_reads: int = 1, groups: int = 1) -> Any:
    weight = normal(8, 4 // groups, 3, 3, seed=5)

    def body(builder: Any, x: Any) -> Any:
        conv = builder.emit(relax.op.nn.conv2d(x, relax.const(weight), groups=groups))
        normed = batch_norm(builder, conv, 8)
        return builder.emit(relax.op.add(normed, conv)) if conv_reads > 1 else normed

    return module([(1, 4, 6, 6)], body)


def assert_same_results(before: Any, after: Any, *arrays: Array) -> None:
    np.testing.assert_allclose(
        run_default(after, *arrays)[0], run_default(before, *arrays)[0], rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batch_norm_after_a_convolution_becomes_one_addition(groups: int) -> None:
    before = conv_bn(groups=groups)
    after = fold_batch_norm(before)
    assert call_counts(after) == {"nn.conv2d": 1, "add": 1}
    assert_same_results(before, after, normal(1, 4, 6, 6))


def test_a_convolution_that_is_read_twice_keeps_its_own_weights() -> None:
    before = conv_bn(conv_reads=2)
    after = fold_batch_norm(before)
    assert call_counts(after) == {"nn.conv2d": 1, "multiply": 1, "add": 2}
    assert_same_results(before, after, normal(1, 4, 6, 6))


def test_batch_norm_alone_becomes_a_multiply_and_an_add() -> None:
    before = module([(2, 4, 3, 3)], lambda builder, x: batch_norm(builder, x, 4))
    after = fold_batch_norm(before)
    assert call_counts(after) == {"multiply": 1, "add": 1}
    assert_same_results(before, after, normal(2, 4, 3, 3))


def test_batch_norm_with_the_statistics_of_its_batch_is_left_alone() -> None:
    before = module([(2, 4, 3, 3)], lambda builder, x: batch_norm(builder, x, 4, training=True))
    assert call_counts(fold_batch_norm(before)) == {"nn.batch_norm": 1}


def test_a_chain_of_constants_is_computed_at_compile_time() -> None:
    weight = normal(3, 4)

    def body(builder: Any, x: Any) -> Any:
        turned = builder.emit(relax.op.permute_dims(relax.const(weight)))
        scaled = builder.emit(relax.op.multiply(turned, relax.const(np.float32(2))))
        shaped = builder.emit(relax.op.reshape(scaled, (1, 4, 3)))
        return builder.emit(relax.op.add(x, shaped))

    before = module([(2, 4, 3)], body)
    after = fold(before)
    assert call_counts(after) == {"add": 1}
    data = normal(2, 4, 3)
    np.testing.assert_array_equal(run_default(after, data)[0], data + weight.T * 2)


def test_a_constant_is_not_folded_into_one_that_would_fill_the_artifact() -> None:
    size = GROWTH_LIMIT_BYTES // 4 + 1

    def body(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.add(x, builder.emit(relax.op.broadcast_to(relax.const([1.0]), (size,)))))

    assert call_counts(fold(module([(size,)], body))) == {"broadcast_to": 1, "add": 1}


def test_a_division_of_whole_numbers_stays_one() -> None:
    def body(builder: Any, x: Any) -> Any:
        quotient = builder.emit(relax.op.divide(relax.const([7, -7], "int64"), relax.const([2, 2], "int64")))
        return builder.emit(relax.op.add(x, quotient))

    before = module([(2,)], body, "int64")
    after = fold(before)
    data = np.array([10, 10])
    np.testing.assert_array_equal(run_default(after, data)[0], run_default(clean(before), data)[0])


def test_an_operator_that_nothing_folds_stays() -> None:
    before = module([(2, 3)], lambda builder, x: builder.emit(relax.op.add(x, relax.const(np.float32(1)))))
    assert call_counts(fold(before)) == {"add": 1}


def test_a_number_without_axes_is_folded_into_one() -> None:
    def body(builder: Any, x: Any) -> Any:
        index = builder.emit(relax.op.add(relax.const(1, "int64"), relax.const(1, "int64")))
        return builder.emit(relax.op.take(x, index, axis=0))

    before = module([(4, 3)], body)
    data = normal(4, 3)
    assert call_counts(fold(before)) == {"take": 1}
    np.testing.assert_array_equal(run_default(fold(before), data)[0], data[2])
