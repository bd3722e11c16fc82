"""Programs over rows against float64: softmax, norms and reductions at odd sizes, fused and not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax, tirx

from modeldyno.compiler.rules.rows import row_program, rows_apply
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX2, AVX512, Array, module, run_staged, staged_until

R = relax.op
SIZES = (1, 2, 3, 7, 15, 16, 17, 33, 48, 64, 100, 128, 197, 256, 331)
MACHINES = (AVX512, AVX2)


def normal(shape: tuple[int, ...], mean: float = 0, deviation: float = 1) -> Array:
    return np.random.default_rng(sum(shape)).normal(mean, deviation, shape).astype(np.float32)


def run(body: Any, machine: Machine, *arrays: Array) -> Array:
    return run_staged(module([array.shape for array in arrays], body), machine, *arrays)[0]


def softmax(values: Array) -> Array:
    powers = np.exp(values.astype(np.float64) - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def layer_norm(values: Array, gamma: Array, beta: Array, epsilon: float = 1e-5) -> Array:
    wide = values.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * gamma + beta


shapes = st.tuples(st.sampled_from((1, 2, 5)), st.sampled_from((1, 3, 13)), st.sampled_from(SIZES))


@settings(max_examples=12, deadline=None)
@given(shape=shapes, machine=st.sampled_from(MACHINES))
def test_softmax_and_its_logarithm_are_right_at_odd_sizes(shape: tuple[int, ...], machine: Machine) -> None:
    data = normal(shape, 0, 4)

    def body(builder: Any, x: Any) -> Any:
        return relax.Tuple([builder.emit(R.nn.softmax(x)), builder.emit(R.nn.log_softmax(x))])

    found = run_staged(module([shape], body), machine, data)
    np.testing.assert_allclose(found[0], softmax(data), rtol=2e-6, atol=1e-12)
    np.testing.assert_allclose(found[1], np.log(softmax(data)), rtol=2e-6, atol=2e-6)


@settings(max_examples=12, deadline=None)
@given(shape=shapes, machine=st.sampled_from(MACHINES))
def test_norms_are_right_at_odd_sizes(shape: tuple[int, ...], machine: Machine) -> None:
    data, gamma, beta = normal(shape), normal((shape[-1],)), normal((shape[-1],), 3)

    def body(builder: Any, x: Any) -> Any:
        first = builder.emit(R.nn.layer_norm(x, relax.const(gamma), relax.const(beta), axes=[-1]))
        return relax.Tuple([first, builder.emit(R.nn.rms_norm(x, relax.const(gamma), axes=[-1]))])

    found = run_staged(module([shape], body), machine, data)
    np.testing.assert_allclose(found[0], layer_norm(data, gamma, beta), rtol=1e-4, atol=3e-5)
    wide = data.astype(np.float64)
    root = np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found[1], wide / root * gamma, rtol=2e-6, atol=1e-6)


@settings(max_examples=16, deadline=None)
@given(
    shape=shapes,
    kind=st.sampled_from(("sum", "mean", "max", "min")),
    keep=st.booleans(),
    machine=st.sampled_from(MACHINES),
)
def test_reductions_over_the_last_axis_are_right(
    shape: tuple[int, ...], kind: str, keep: bool, machine: Machine
) -> None:
    data = normal(shape)
    found = run(lambda builder, x: builder.emit(getattr(R, kind)(x, [-1], keep)), machine, data)
    expected = getattr(data.astype(np.float64), kind)(-1, keepdims=keep)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean", [0, 1000, -1000])
def test_a_mean_far_from_zero_costs_layer_norm_no_more_than_its_own_rounding(mean: float) -> None:
    data = normal((8, 768), mean)
    one, zero = np.ones(768, np.float32), np.zeros(768, np.float32)
    found = run(
        lambda builder, x: builder.emit(R.nn.layer_norm(x, relax.const(one), relax.const(zero), axes=[-1])),
        AVX512,
        data,
    )
    # One float32 step at 1000 is 6e-5; a variance taken as E[x²] - E[x]² would be off by a tenth.
    np.testing.assert_allclose(found, layer_norm(data, one, zero), rtol=0, atol=2e-6 if mean == 0 else 2e-4)


def test_masked_scores_are_scaled_masked_and_normalized_in_one_program() -> None:
    data, mask = normal((1, 3, 9, 48)), np.zeros((1, 1, 1, 48), np.float32)
    mask[..., 40:] = -np.inf

    def body(builder: Any, x: Any, hidden: Any) -> Any:
        scaled = builder.emit(R.multiply(x, relax.const(np.float32(0.125))))
        return builder.emit(R.nn.softmax(builder.emit(R.add(scaled, hidden))))

    mod = staged_until(module([data.shape, mask.shape], body), AVX512, "fuse")
    assert sum(isinstance(func, tirx.PrimFunc) for _, func in mod.functions_items()) == 1
    found = run(body, AVX512, data, mask)
    np.testing.assert_allclose(found, softmax(data * np.float32(0.125) + mask), rtol=0, atol=1e-6)


def test_residual_before_a_norm_is_read_once_in_the_same_program() -> None:
    data, other = normal((6, 100)), normal((6, 100), 1)
    one, zero = np.ones(100, np.float32), np.zeros(100, np.float32)

    def body(builder: Any, x: Any, y: Any) -> Any:
        total = builder.emit(R.add(x, y))
        return builder.emit(R.nn.layer_norm(total, relax.const(one), relax.const(zero), axes=[-1]))

    mod = staged_until(module([data.shape, other.shape], body), AVX512, "fuse")
    assert sum(isinstance(func, tirx.PrimFunc) for _, func in mod.functions_items()) == 1
    np.testing.assert_allclose(
        run(body, AVX512, data, other), layer_norm(data + other, one, zero), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax_over_any_axis_is_right(axis: int) -> None:
    data = normal((5, 7, 19))
    found = run(lambda builder, x: builder.emit(R.nn.softmax(x, axis)), AVX512, data)
    expected = np.moveaxis(softmax(np.moveaxis(data, axis, -1)), -1, axis)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_what_is_no_number_in_a_row_spoils_that_row_alone() -> None:
    data = normal((3, 40))
    data[1, 7] = np.nan
    found = run(lambda builder, x: builder.emit(R.nn.softmax(x)), AVX512, data)
    assert np.isnan(found[1]).any()
    np.testing.assert_allclose(found[[0, 2]], softmax(data[[0, 2]]), rtol=2e-6)


def test_rows_of_infinities_give_what_numpy_gives() -> None:
    x = np.random.default_rng(0).standard_normal((5, 41)).astype(np.float32)
    x[1] = -np.inf
    x[2, :37] = -np.inf
    x[3] = np.inf
    for name, reduce, wanted in (("max", relax.op.max, x.max(-1)), ("min", relax.op.min, x.min(-1))):
        mod = module([x.shape], lambda builder, data, reduce=reduce: builder.emit(reduce(data, axis=-1)))
        np.testing.assert_array_equal(run_staged(mod, AVX512, x)[0], wanted, err_msg=name)
    mod = module([x.shape], lambda builder, data: builder.emit(relax.op.nn.softmax(data)))
    found = run_staged(mod, AVX512, x)[0]
    assert np.isnan(found[[1, 3]]).all()  # wholly masked: 0 / 0, as in the source model
    powers = np.exp(x[2, 37:] - x[2, 37:].max())
    np.testing.assert_allclose(found[2, 37:], powers / powers.sum(), rtol=1e-6)
    assert (found[2, :37] < 1e-30).all()


def test_the_rule_answers_rows_with_one_shared_loop_and_keeps_out_of_the_rest() -> None:
    def program(body: Any) -> Any:
        mod = staged_until(module([(64, 512)], body), AVX512, "fuse")
        (func,) = (func for _, func in mod.functions_items() if isinstance(func, tirx.PrimFunc))
        return func

    softmax = program(lambda builder, x: builder.emit(R.nn.softmax(x)))
    assert rows_apply(softmax, AVX512)
    assert row_program(softmax, AVX512).script().count("T.parallel(") == 1
    assert not rows_apply(program(lambda builder, x: builder.emit(R.nn.relu(x))), AVX512)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_logarithm_of_a_certain_softmax_is_exactly_0(machine: Machine) -> None:
    rows = np.linspace(-80, 80, 5, dtype=np.float32)[:, None]
    found = run(lambda builder, x: builder.emit(R.nn.log_softmax(x, -1)), machine, rows)
    assert found.tolist() == [[0.0]] * 5


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((300, 400), None), ((120000,), [0]), ((2, 300, 400), [1, 2]), ((2, 10007, 1), [1, 2])],
)
@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_long_sums_over_several_axes_keep_their_digits(
    kind: str, shape: tuple[int, ...], axes: list[int] | None
) -> None:
    values = np.full(shape, 0.1, np.float32)  # one by one, 120,000 of them are off by 3e-3
    right = getattr(values.astype(np.float64), kind)(axis=None if axes is None else tuple(axes))
    found = run(lambda _builder, x: getattr(R, kind)(x, axes), AVX512, values)
    np.testing.assert_allclose(found, right, rtol=1e-5)
