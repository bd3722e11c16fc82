"""Max, min and their places by every schedule rule, on processors of several widths: NaN and infinities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX2, AVX512, MACHINES, NEON, Array, module, run_staged

INF, NAN = np.float32(np.inf), np.float32(np.nan)
SHAPE = (3, 8, 32)  # whole vectors of every width along the last axis


def tried(seed: int, shape: tuple[int, ...] = SHAPE) -> Array:
    rng = np.random.default_rng(seed)
    data = np.where(rng.random(shape) < 0.3, rng.choice([NAN, INF, -INF], shape), rng.standard_normal(shape))
    data[0] = -INF
    return data.astype(np.float32)


def expected(data: Array, kind: str, axes: tuple[int, ...]) -> Array:
    """Pass NaN over, unless it is the first along the axes."""
    sign = 1 if kind == "max" else -1
    found = sign * np.where(np.isnan(data), -INF, sign * data).max(axes)
    first = data[tuple(0 if axis in axes else slice(None) for axis in range(data.ndim))]
    return np.where(np.isnan(first), NAN, found)


@pytest.mark.parametrize("machine", MACHINES, ids=("avx512", "avx2", "neon"))
@pytest.mark.parametrize("shape", [SHAPE, (3, 5, 7)])
def test_reductions_over_rows_columns_and_all(machine: Machine, shape: tuple[int, ...]) -> None:
    wanted = [(kind, axes) for kind in ("max", "min") for axes in ((2,), (1,), (0, 2), (1, 2), (0, 1, 2))]

    def body(builder: Any, x: Any) -> Any:
        return relax.Tuple([builder.emit(getattr(relax.op, kind)(x, axes)) for kind, axes in wanted])

    data = tried(1, shape)
    for (kind, axes), found in zip(wanted, run_staged(module([shape], body), machine, data), strict=True):
        np.testing.assert_array_equal(found, expected(data, kind, axes), err_msg=f"{kind} over {axes}")


@pytest.mark.parametrize("machine", [AVX512, NEON], ids=("avx512", "neon"))
def test_places_are_the_first_of_several_and_exist(machine: Machine) -> None:
    def body(builder: Any, x: Any) -> Any:
        return relax.Tuple([builder.emit(relax.op.argmax(x, axis)) for axis in range(3)])

    data = np.round(tried(2))
    for axis, found in enumerate(run_staged(module([SHAPE], body), machine, data)):
        passed = np.where(np.isnan(data), -INF, data)
        first = data.take(0, axis)
        wanted = np.where(np.isnan(first), 0, passed.argmax(axis))
        # Of a row with -inf and NaN alone, numpy's first may be a NaN's place.
        real = np.isfinite(passed.max(axis)) | np.isnan(first)
        np.testing.assert_array_equal(found[real], wanted[real])
        assert found.min() >= 0


@pytest.mark.parametrize("machine", [AVX512, AVX2], ids=("avx512", "avx2"))
@pytest.mark.parametrize("channels", [32, 5])
def test_max_pools_with_channels_last_pass_nan_over_and_keep_infinities(
    machine: Machine, channels: int
) -> None:
    data = tried(3, (2, 6, 6, channels))

    def body(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.nn.max_pool2d(x, (2, 2), (2, 2), layout="NHWC"))

    found = run_staged(module([data.shape], body), machine, data)[0]
    windows = np.where(np.isnan(data), -INF, data).reshape(2, 3, 2, 3, 2, channels)
    np.testing.assert_array_equal(found, windows.max((2, 4)))


def test_the_larger_of_two_is_none_where_either_is() -> None:
    left, right = tried(4), tried(5)
    row = np.array([[1], [NAN]] * 4, np.float32)

    def body(builder: Any, x: Any, y: Any) -> Any:
        made = [relax.op.maximum(x, y), relax.op.minimum(x, y), relax.op.maximum(relax.const(row), x)]
        made += [
            relax.op.minimum(x, relax.const(0.5, "float32")),
            relax.op.maximum(x, relax.const(np.full(1, NAN))),
        ]
        return relax.Tuple([builder.emit(each) for each in made])

    found = run_staged(module([SHAPE, SHAPE], body), AVX512, left, right)
    wanted = [np.maximum(left, right), np.minimum(left, right), np.maximum(row, left)]
    wanted += [np.minimum(left, np.float32(0.5)), np.full(SHAPE, NAN)]
    for got, right_one in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, right_one)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_nan_is_the_largest_in_an_order(dtype: str) -> None:
    data = tried(6).astype(dtype)
    assert np.isnan(data).any()
    assert np.isinf(data).any()
    op = relax.op

    def body(builder: Any, x: Any) -> Any:
        most = builder.emit(op.topk(x, 4, axis=2))
        least = builder.emit(op.topk(x, 4, axis=2, largest=False, ret_type="values"))
        made = [op.sort(x, 1), op.sort(x, 2, True), op.argsort(x, 0), relax.TupleGetItem(most, 0)]
        places = builder.emit(op.topk(x, 4, axis=2, ret_type="indices"))
        return relax.Tuple([*map(builder.emit, made), least, places])

    found = run_staged(module([SHAPE], body, dtype), AVX512, data)
    up = np.sort(data, 2)
    wanted = [
        np.sort(data, 1),
        up[:, :, ::-1],
        np.argsort(data, 0, kind="stable"),
        up[:, :, :-5:-1],
        up[:, :, :4],
    ]
    for got, right in zip(found, wanted, strict=False):
        np.testing.assert_array_equal(got, right)
    np.testing.assert_array_equal(np.take_along_axis(data, found[5].astype(int), 2), up[:, :, :-5:-1])


def test_whole_numbers_begin_with_the_least_of_their_type() -> None:
    def body(builder: Any, x: Any) -> Any:
        made = [relax.op.max(x, 2), relax.op.min(x, 1), relax.op.argmax(x, 2), relax.op.argmin(x, 1)]
        return relax.Tuple([builder.emit(each) for each in made])

    for value in (-128, 127):
        data = np.full(SHAPE, value, np.int8)
        highest, lowest, first, last = run_staged(module([SHAPE], body, "int8"), AVX512, data)
        assert {*highest.ravel(), *lowest.ravel()} == {value}
        assert {*first.ravel(), *last.ravel()} == {0}
