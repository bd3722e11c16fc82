"""Attention: the kernel against float64, and which models it is found in."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from modeldyno.compiler.graph.attention import fuse_attention
from modeldyno.compiler.graph.rewrite import op_name
from modeldyno.compiler.kernels.attention.kernel import attention
from modeldyno.compiler.kernels.attention.plan import LOWEST, Sizes
from modeldyno.compiler.lower.attention import lower_attention
from modeldyno.compiler.targets.machine import Machine

MACHINES = [Machine(lanes=16, registers=32), Machine(lanes=8, registers=16), Machine(lanes=4, registers=32)]
# The largest error of a result, for values of about 1: sums of up to 400 terms in float32.
BOUND = 1e-5

Array = np.ndarray[Any, Any]


def expected(sizes: Sizes, scale: float, arrays: list[Array]) -> Array:
    """Attention in float64, [batch, queries, heads, depth]."""
    query, key, value = (array.astype(np.float64).transpose(0, 2, 1, 3) for array in arrays[:3])
    scores = query @ key.transpose(0, 1, 3, 2) * scale
    if sizes.mask:
        scores = scores + arrays[3]
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True) @ value).transpose(0, 2, 1, 3)


def inputs(sizes: Sizes, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    shapes = [
        (sizes.batch, sizes.queries, sizes.heads, sizes.depth),
        (sizes.batch, sizes.keys, sizes.heads, sizes.depth),
        (sizes.batch, sizes.keys, sizes.heads, sizes.value_depth),
    ]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    if sizes.mask:
        mask = rng.standard_normal(sizes.mask).astype(np.float32)
        mask[rng.random(sizes.mask) < 0.3] = LOWEST
        mask[..., 0] = 0  # no row is masked whole
        arrays.append(mask)
    return arrays


def run_kernel(sizes: Sizes, scale: float, machine: Machine, arrays: list[Array]) -> Array:
    result = (sizes.batch, sizes.queries, sizes.heads, sizes.value_depth)
    func = attention(sizes, scale, machine, [*(array.shape for array in arrays), result])
    program = tvm.compile(tvm.IRModule({"attention": func}), target="llvm")
    # What the kernel leaves unwritten stays no number, and is seen.
    out = tvm.runtime.tensor(np.full(result, np.nan, np.float32))
    program["attention"](*(tvm.runtime.tensor(array) for array in arrays), out)
    found: Array = out.numpy()
    return found


@st.composite
def kernel_sizes(draw: st.DrawFn) -> Sizes:
    batch, heads = draw(st.sampled_from([(1, 1), (1, 3), (2, 2)]))
    queries, keys = (draw(st.sampled_from([1, 3, 17, 64, 197])) for _ in range(2))
    depth, value_depth = (draw(st.sampled_from([1, 8, 17, 32, 64])) for _ in range(2))
    mask = None
    if draw(st.booleans()):
        over_batch, over_heads, over_queries = (
            draw(st.sampled_from([1, size])) for size in (batch, heads, queries)
        )
        mask = (over_batch, over_heads, over_queries, keys)
    return Sizes(batch, heads, queries, keys, depth, value_depth, mask)


@given(kernel_sizes(), st.sampled_from(MACHINES), st.integers(0, 9))
@settings(max_examples=12, deadline=None)
def test_any_sizes_agree_with_float64(sizes: Sizes, machine: Machine, seed: int) -> None:
    arrays = inputs(sizes, seed)
    error = np.abs(run_kernel(sizes, 0.3, machine, arrays) - expected(sizes, 0.3, arrays)).max()
    assert error < BOUND


@pytest.mark.parametrize("keys", [33, 64, 300])
@pytest.mark.parametrize("masked", [False, True])
def test_keys_that_come_in_blocks_agree_with_float64(keys: int, masked: bool) -> None:
    # A second-level cache of a few KiB: blocks of 32 keys, the last one ragged.
    machine = Machine(lanes=8, registers=16, l2_bytes=1 << 13)
    sizes = Sizes(1, 2, 130, keys, 16, 20, (1, 1, 130, keys) if masked else None)
    arrays = inputs(sizes, 0)
    arrays[1][:, keys // 2 :] *= 8  # the highest scores come late, so that earlier sums are rescaled
    error = np.abs(run_kernel(sizes, 0.5, machine, arrays) - expected(sizes, 0.5, arrays)).max()
    assert error < BOUND


def test_scores_far_from_zero_neither_overflow_nor_vanish() -> None:
    sizes = Sizes(1, 1, 5, 19, 8, 8)
    arrays = inputs(sizes, 1)
    for sign in (1, -1):
        arrays[0][:], arrays[1][:] = 20, sign * 20
        arrays[1][0, 3] = sign * 20 + 0.05
        found = run_kernel(sizes, 1.0, MACHINES[0], arrays)
        np.testing.assert_allclose(found, expected(sizes, 1.0, arrays), rtol=2e-3)


def test_what_is_no_number_stays_none() -> None:
    sizes = Sizes(1, 1, 3, 18, 8, 8)
    arrays = inputs(sizes, 2)
    arrays[0][0, 1, 0, 0] = np.nan
    found = run_kernel(sizes, 1.0, MACHINES[0], arrays)
    assert np.isnan(found[0, 1]).all()
    assert not np.isnan(found[0, [0, 2]]).any()


@pytest.mark.parametrize("machine", [MACHINES[0], Machine(lanes=8, registers=16, l2_bytes=1 << 13)])
def test_a_query_without_any_key_has_no_result_and_one_whose_first_keys_are_masked_has(
    machine: Machine,
) -> None:
    """The second machine takes keys in blocks: the first block of row 1 is masked whole."""
    sizes = Sizes(1, 1, 130, 75, 16, 8, (1, 1, 130, 75))
    arrays = inputs(sizes, 3)
    arrays[3][0, 0, 0] = -np.inf
    arrays[3][0, 0, 1, :70] = -np.inf
    arrays[3][0, 0, 2] = LOWEST  # scores are lost in so large a number: all keys count alike
    found = run_kernel(sizes, 0.3, machine, arrays)
    assert np.isnan(found[0, 0]).all()
    assert np.abs(found[0, 2] - arrays[2][0].mean(0)).max() < BOUND
    arrays[3][0, 0, 0] = arrays[3][0, 0, 2] = found[0, [0, 2]] = 0
    wanted = expected(sizes, 0.3, arrays)
    wanted[0, [0, 2]] = 0
    assert np.abs(found - wanted).max() < BOUND


@dataclasses.dataclass(frozen=True)
class Form:
    """How a model writes attention down: where the scale stands, and what else is read."""

    scale: str = "scores"
    mask: tuple[int, ...] | None = None
    merged: bool = False
    also: str = ""


BATCH, HEADS, TIME, DEPTH = 2, 3, 17, 8


def model(form: Form) -> Any:
    """Relax module of one attention over projections [BATCH, TIME, HEADS * DEPTH]."""
    builder = relax.BlockBuilder()
    shape = (BATCH, TIME, HEADS * DEPTH)
    params = [relax.Var(name, relax.TensorType(shape, "float32")) for name in "qkv"]
    if form.mask:
        params.append(relax.Var("mask", relax.TensorType(form.mask, "float32")))
    with builder.function("main", params):
        with builder.dataflow():
            query, key, value = (
                builder.emit(relax.op.reshape(each, (BATCH, TIME, HEADS, DEPTH))) for each in params[:3]
            )
            query = builder.emit(relax.op.permute_dims(query, [0, 2, 1, 3]))
            key = builder.emit(relax.op.permute_dims(key, [0, 2, 3, 1]))
            value = builder.emit(relax.op.permute_dims(value, [0, 2, 1, 3]))
            if form.merged:
                query = builder.emit(relax.op.reshape(query, (BATCH * HEADS, TIME, DEPTH)))
                key = builder.emit(relax.op.reshape(key, (BATCH * HEADS, DEPTH, TIME)))
                value = builder.emit(relax.op.reshape(value, (BATCH * HEADS, TIME, DEPTH)))
            if form.scale == "query":
                query = builder.emit(relax.op.multiply(query, relax.const(0.25, "float32")))
            if form.scale == "both":
                query = builder.emit(relax.op.multiply(relax.const(0.5, "float32"), query))
                key = builder.emit(relax.op.divide(key, relax.const(2.0, "float32")))
            scores = builder.emit(relax.op.matmul(query, key))
            if form.scale == "scores":
                scores = builder.emit(relax.op.multiply(scores, relax.const(0.25, "float32")))
            if form.scale == "divided":
                scores = builder.emit(relax.op.divide(scores, relax.const(4.0, "float32")))
            if form.mask:
                scores = builder.emit(relax.op.add(scores, params[3]))
            powers = builder.emit(relax.op.nn.softmax(scores, axis=-1))
            out = builder.emit(relax.op.matmul(powers, value))
            if form.merged:
                out = builder.emit(relax.op.reshape(out, (BATCH, HEADS, TIME, DEPTH)))
            out = builder.emit(relax.op.permute_dims(out, [0, 2, 1, 3]))
            out = builder.emit(relax.op.reshape(out, shape))
            extra = {"scores": scores, "powers": powers}.get(form.also)
            result = builder.emit_output(out if extra is None else relax.Tuple([out, extra]))
        builder.emit_func_output(result)
    return builder.get()


def operators(mod: Any) -> list[str]:
    found: list[str] = []
    relax.analysis.post_order_visit(mod["main"], lambda expr: found.append(op_name(expr)))
    return [name for name in found if name]


FORMS = [
    *(Form(scale=scale) for scale in ("none", "query", "both", "scores", "divided")),
    Form(mask=(TIME,)),
    Form(mask=(BATCH, 1, 1, TIME)),
    Form(mask=(1, 1, TIME, TIME)),
    Form(mask=(BATCH, HEADS, TIME, TIME), scale="both"),
    Form(merged=True),
    Form(merged=True, mask=(1, TIME, TIME)),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_each_way_to_write_attention_becomes_one_call_with_the_same_result(form: Form) -> None:
    mod = lower_attention(fuse_attention(model(form)), MACHINES[1])
    assert operators(mod).count("relax.call_tir") == 1
    assert not {"relax.matmul", "relax.nn.softmax"} & set(operators(mod))
    rng = np.random.default_rng(3)
    shapes = [(BATCH, TIME, HEADS * DEPTH)] * 3 + ([form.mask] if form.mask else [])
    arrays = [tvm.runtime.tensor(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    results = [
        relax.VirtualMachine(relax.build(each, "llvm"), tvm.cpu())["main"](*arrays).numpy()
        for each in (model(form), mod)
    ]
    np.testing.assert_allclose(results[1], results[0], atol=BOUND)


@pytest.mark.parametrize("form", [form for form in FORMS if not form.merged], ids=str)
def test_no_operand_is_copied(form: Form) -> None:
    names = operators(lower_attention(fuse_attention(model(form)), MACHINES[1]))
    assert "relax.permute_dims" not in names
    assert "relax.reshape" not in names


@pytest.mark.parametrize("also", ["scores", "powers"])
def test_scores_that_are_read_elsewhere_keep_their_operators(also: str) -> None:
    names = operators(fuse_attention(model(Form(also=also))))
    assert "relax.nn.attention" not in names
    assert names.count("relax.matmul") == 2


def test_a_causal_attention_sees_no_later_key() -> None:
    builder = relax.BlockBuilder()
    params = [relax.Var(name, relax.TensorType((1, 9, 2, 8), "float32")) for name in "qkv"]
    with builder.function("main", params):
        with builder.dataflow():
            result = builder.emit_output(relax.op.nn.attention(*params, causal_mask="TopLeft"))
        builder.emit_func_output(result)
    mod = lower_attention(builder.get(), MACHINES[1])
    sizes = Sizes(1, 2, 9, 9, 8, 8)
    arrays = inputs(sizes, 4)
    found = relax.VirtualMachine(relax.build(mod, "llvm"), tvm.cpu())["main"](
        *(tvm.runtime.tensor(array) for array in arrays)
    )
    masked = dataclasses.replace(sizes, mask=(1, 1, 9, 9))
    mask = np.where(np.tri(9, dtype=bool), 0, LOWEST).astype(np.float32)[None, None]
    np.testing.assert_allclose(found.numpy(), expected(masked, 8**-0.5, [*arrays, mask]), atol=BOUND)
