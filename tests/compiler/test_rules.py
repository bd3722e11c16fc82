"""Schedule rules: the first that applies is taken; each stays out of what is not its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax, tirx

from modeldyno.compiler.rules import apply
from modeldyno.compiler.rules.generic import blocks_apply, per_block
from modeldyno.compiler.rules.tile import register_tile, tile_applies
from tests.compiler.relaxed import AVX512, module, run_staged, staged_until


def functions(body: Any, *shapes: tuple[int, ...]) -> dict[str, Any]:
    """Give the tensor programs of a module as the rules see them."""
    mod = staged_until(module(shapes, body), AVX512, "fuse")
    return {name.name_hint: func for name, func in mod.functions_items() if isinstance(func, tirx.PrimFunc)}


def dense(builder: Any, x: Any) -> Any:
    weight = np.ones((24, 40), np.float32)
    return builder.emit(relax.op.nn.relu(builder.emit(relax.op.matmul(x, relax.const(weight)))))


def test_register_tile_is_for_a_function_that_carries_a_tile() -> None:
    (func,) = functions(dense, (8, 24)).values()
    assert tile_applies(func, AVX512)
    text = register_tile(func, AVX512).script()
    assert "T.vectorized(" in text
    assert "T.unroll(" in text


@pytest.mark.parametrize(
    "body",
    [
        lambda builder, x: builder.emit(relax.op.nn.relu(x)),
        lambda builder, x: builder.emit(relax.op.sum(x, axis=[1])),
        lambda builder, x: builder.emit(relax.op.nn.softmax(x)),
        lambda builder, x: builder.emit(relax.op.permute_dims(x)),
    ],
    ids=["relu", "sum", "softmax", "transpose"],
)
def test_register_tile_is_not_for_functions_without_a_tile(body: Any) -> None:
    (func,) = functions(body, (8, 32)).values()
    assert not tile_applies(func, AVX512)
    assert blocks_apply(func, AVX512)


def test_per_block_is_the_last_rule() -> None:
    assert apply.RULES[-1].schedule is per_block
    assert apply.RULES[0].schedule is register_tile


def test_where_every_rule_stays_out_the_function_is_tvms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "RULES", (apply.Rule(lambda *_: False, register_tile),))
    data = np.random.default_rng(0).standard_normal((8, 24)).astype(np.float32)
    found = run_staged(module([(8, 24)], dense), AVX512, data)[0]
    np.testing.assert_allclose(
        found, np.maximum(data @ np.ones((24, 40), np.float32), 0), rtol=1e-4, atol=1e-4
    )


def test_large_work_is_shared_among_the_cores_and_small_is_not() -> None:
    def parallel(rows: int) -> bool:
        (func,) = functions(dense, (rows, 24)).values()
        return "T.parallel(" in register_tile(func, AVX512).script()

    assert parallel(256)
    assert not parallel(2)


def test_a_tail_that_reads_the_sums_twice_is_still_right() -> None:
    weight = np.random.default_rng(1).standard_normal((24, 40)).astype(np.float32)

    def body(builder: Any, x: Any) -> Any:
        out = builder.emit(relax.op.matmul(x, relax.const(weight)))
        gate = builder.emit(relax.op.sigmoid(out))
        return builder.emit(relax.op.multiply(out, gate))

    data = np.random.default_rng(0).standard_normal((9, 24)).astype(np.float32)
    product = data.astype(np.float64) @ weight
    found = run_staged(module([data.shape], body), AVX512, data)[0]
    np.testing.assert_allclose(found, product / (1 + np.exp(-product)), rtol=1e-4, atol=1e-5)


def test_sums_that_leave_the_tail_too_are_right() -> None:
    weight = np.random.default_rng(1).standard_normal((24, 40)).astype(np.float32)

    def body(builder: Any, x: Any) -> Any:
        out = builder.emit(relax.op.matmul(x, relax.const(weight)))
        return relax.Tuple(
            [out, builder.emit(relax.op.nn.relu(out)), builder.emit(relax.op.permute_dims(out))]
        )

    data = np.random.default_rng(0).standard_normal((9, 24)).astype(np.float32)
    product = data.astype(np.float64) @ weight
    found = run_staged(module([data.shape], body), AVX512, data)
    for one, expected in zip(found, (product, np.maximum(product, 0), product.T), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)


def reads(func: Any) -> str:
    text: str = per_block(func, AVX512).script()
    return text


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 20, 7, 9), [0, 2, 3, 1]),
        ((1, 7, 9, 20), [0, 3, 1, 2]),
        ((1, 13, 3, 16), [0, 2, 1, 3]),
        ((2, 32, 4, 24), [0, 2, 3, 1]),
        ((5, 64), [1, 0]),
        ((1, 17, 1, 1), [0, 2, 3, 1]),
        ((3, 4, 5, 48), [3, 2, 1, 0]),
    ],
)
def test_transposes_are_right(shape: tuple[int, ...], axes: list[int]) -> None:
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    mod = module([shape], lambda builder, x: builder.emit(relax.op.permute_dims(x, axes)))
    np.testing.assert_array_equal(run_staged(mod, AVX512, data)[0], data.transpose(axes))


def test_a_transpose_walks_in_squares_so_that_both_sides_use_whole_cache_lines() -> None:
    (func,) = functions(lambda builder, x: builder.emit(relax.op.permute_dims(x)), (64, 48)).values()
    text = reads(func)
    assert "T.unroll(T.int64(16))" in text
    assert "T.vectorized(T.int64(16))" in text


def test_heads_taken_from_one_tensor_by_split_reshape_and_transpose_are_right() -> None:
    data = np.random.default_rng(0).standard_normal((1, 19, 3 * 2 * 16)).astype(np.float32)

    def body(builder: Any, x: Any) -> Any:
        parts = builder.emit(relax.op.split(x, 3, 2))
        heads = []
        for index, axes in enumerate(([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])):
            part = builder.emit(
                relax.op.reshape(builder.emit(relax.TupleGetItem(parts, index)), (1, 19, 2, 16))
            )
            heads.append(builder.emit(relax.op.permute_dims(part, axes)))
        return relax.Tuple(heads)

    found = run_staged(module([data.shape], body), AVX512, data)
    split = data.reshape(1, 19, 3, 2, 16)
    np.testing.assert_array_equal(found[0], split[:, :, 0].transpose(0, 2, 1, 3))
    np.testing.assert_array_equal(found[1], split[:, :, 1].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(found[2], split[:, :, 2].transpose(0, 2, 1, 3))


def test_a_gate_for_each_channel_is_computed_once_and_not_for_each_pixel() -> None:
    def body(builder: Any, x: Any, gate: Any) -> Any:
        return builder.emit(relax.op.multiply(x, builder.emit(relax.op.sigmoid(gate))))

    shapes = ((1, 6, 5, 48), (1, 1, 1, 48))
    data, gate = (np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in shapes)
    (func,) = functions(body, *shapes).values()
    assert 'T.sblock("sigmoid")' in reads(func)
    found = run_staged(module(shapes, body), AVX512, data, gate)[0]
    np.testing.assert_allclose(found, data / (1 + np.exp(-gate.astype(np.float64))), rtol=1e-6)


@pytest.mark.parametrize("widths", [(32, 16), (3, 17, 1), (256, 32)])
def test_concatenation_along_channels_is_right_alone_and_before_element_wise_work(
    widths: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((1, 5, 7, width)).astype(np.float32) for width in widths]

    def body(builder: Any, *xs: Any) -> Any:
        whole = builder.emit(relax.op.concat(list(xs), axis=3))
        return relax.Tuple(
            [whole, builder.emit(relax.op.nn.relu(builder.emit(relax.op.concat(list(xs), 3))))]
        )

    found = run_staged(module([part.shape for part in parts], body), AVX512, *parts)
    expected = np.concatenate(parts, 3)
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], np.maximum(expected, 0))


def test_turned_halves_of_each_head_are_right_behind_a_reshape() -> None:
    # LLVM's loop vectorizer made wrong code of this with vectors of 512 bits, where the processor has them.
    rng = np.random.default_rng(0)
    data, cosine, sine = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 32), (2, 3, 4), (2, 3, 4))
    )

    def body(builder: Any, x: Any, cos: Any, sin: Any) -> Any:
        def emit(call: Any) -> Any:
            return builder.emit(call)

        heads = emit(relax.op.reshape(x, (2, 3, 4, 8)))
        left, right = (emit(relax.op.strided_slice(heads, [3], [start], [start + 4])) for start in (0, 4))
        cos, sin = (emit(relax.op.reshape(each, (2, 3, 1, 4))) for each in (cos, sin))
        first = relax.op.subtract(emit(relax.op.multiply(left, cos)), emit(relax.op.multiply(right, sin)))
        second = relax.op.add(emit(relax.op.multiply(left, sin)), emit(relax.op.multiply(right, cos)))
        turned = emit(relax.op.concat([emit(first), emit(second)], 3))
        return emit(relax.op.reshape(turned, (2, 3, 32)))

    found = run_staged(module([data.shape, cosine.shape, sine.shape], body), AVX512, data, cosine, sine)[0]
    heads, cosine, sine = data.reshape(2, 3, 4, 8), cosine[:, :, None], sine[:, :, None]
    left, right = heads[..., :4], heads[..., 4:]
    turned = np.concatenate([left * cosine - right * sine, left * sine + right * cosine], 3)
    np.testing.assert_allclose(found, turned.reshape(data.shape), atol=1e-6)


def test_operators_that_no_rule_answers_are_fused_and_scheduled_too() -> None:
    def body(builder: Any, x: Any, y: Any) -> Any:
        return builder.emit(relax.op.nn.relu(builder.emit(relax.op.matmul(x, y))))

    # Leading sizes that differ, and too few rows for a tile: no rule of ours.
    mod = staged_until(module([(2, 3, 2, 16), (16, 32)], body), AVX512, "fuse")
    names = [name.name_hint for name, func in mod.functions_items() if isinstance(func, tirx.PrimFunc)]
    assert len(names) == 1


def test_symbolic_shapes_are_left_to_tvm_and_are_right() -> None:
    shape = relax.ShapeExpr([tirx.Var("n", "int64"), 8])
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            powers = builder.emit(relax.op.nn.softmax(x))
            out = builder.emit_output(relax.op.sum(powers, [0]))
        builder.emit_func_output(out)
    data = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    powers = np.exp(data)
    found = run_staged(builder.finalize(), AVX512, data)[0]
    np.testing.assert_allclose(found, (powers / powers.sum(-1, keepdims=True)).sum(0), rtol=1e-5)
