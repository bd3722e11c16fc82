"""Concatenation without copies: parts written where the whole is to stand, and what keeps a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.lower.concat import flatten_concats
from modeldyno.compiler.memory.planning import plan_memory
from modeldyno.compiler.stages.run import run_stages
from tests.compiler.relaxed import (
    AVX2,
    AVX512,
    call_counts,
    module,
    run_default,
    run_staged,
    source_of,
    staged_until,
    target_for,
)
from tests.compiler.test_kernels import normal

SHAPE = (1, 16, 11, 9)


def conv(builder: Any, x: Any, channels: int, size: int = 1, seed: int = 0) -> Any:
    depth = int(x.ty.shape[1])
    weight = relax.const(normal(channels, depth, size, size, seed=seed))
    pad = size // 2
    return builder.emit(
        relax.op.nn.relu(builder.emit(relax.op.nn.conv2d(x, weight, padding=(pad, pad, pad, pad))))
    )


def joined(builder: Any, *parts: Any, axis: int = 1) -> Any:
    return builder.emit(relax.op.concat(list(parts), axis))


def concat(builder: Any, *parts: Any, axis: int = 1) -> Any:
    """Concatenate, and read the whole: the model's output has another layout, and would be a copy."""
    return conv(builder, joined(builder, *parts, axis=axis), 5, seed=9)


def two_branches(builder: Any, x: Any) -> Any:
    return concat(builder, conv(builder, x, 17), conv(builder, x, 24, 3, seed=1))


def pooled_branch(builder: Any, x: Any) -> Any:
    first = conv(builder, x, 16, seed=4)
    pooled = builder.emit(relax.op.nn.max_pool2d(first, (3, 3), (1, 1), (1, 1)))
    return concat(builder, conv(builder, x, 32), pooled, conv(builder, x, 8, 3, seed=1))


def nested(builder: Any, x: Any) -> Any:
    inner = joined(builder, conv(builder, x, 16), conv(builder, x, 16, 3, seed=1))
    return concat(builder, inner, conv(builder, x, 32, seed=2))


def below_each_other(builder: Any, x: Any) -> Any:
    return concat(builder, conv(builder, x, 8), conv(builder, x, 8, 3, seed=1), axis=2)


def the_same_kernel_twice(builder: Any, x: Any) -> Any:
    y = builder.emit(relax.op.nn.relu(x))
    return concat(builder, conv(builder, x, 16), conv(builder, y, 16))


def one_after_the_other(builder: Any, x: Any) -> Any:
    first = joined(builder, conv(builder, x, 16), conv(builder, x, 16, 3, seed=1))
    return concat(builder, conv(builder, first, 16, seed=2), conv(builder, first, 16, 3, seed=3))


def read_elsewhere(builder: Any, x: Any) -> Any:
    left = conv(builder, x, 16)
    return concat(builder, left, conv(builder, left, 16, 3, seed=1))


def an_input(builder: Any, x: Any) -> Any:
    return concat(builder, x, conv(builder, x, 16))


def the_same_part_twice(builder: Any, x: Any) -> Any:
    left = conv(builder, x, 16)
    return concat(builder, left, left)


def a_part_that_is_a_result(builder: Any, x: Any) -> Any:
    left = conv(builder, x, 16)
    return relax.Tuple([left, concat(builder, left, conv(builder, x, 16, 3, seed=1))])


def a_growing_whole(builder: Any, x: Any) -> Any:
    """As in DenseNet: each layer reads all before it, scaled, and adds channels."""
    whole = conv(builder, x, 24)
    for number in range(4):
        scale = relax.const(normal(1, int(whole.ty.shape[1]), 1, 1, seed=number))
        scaled = builder.emit(relax.op.nn.relu(builder.emit(relax.op.multiply(whole, scale))))
        added = conv(builder, conv(builder, scaled, 32, seed=number), 8, 3, seed=number)
        whole = joined(builder, whole, added)
    return conv(builder, whole, 8)


def on_two_axes(builder: Any, x: Any) -> Any:
    left = joined(builder, conv(builder, x, 16), conv(builder, x, 16, 3, seed=1), axis=2)
    right = joined(builder, conv(builder, x, 8), conv(builder, x, 8, 3, seed=2), axis=2)
    return concat(builder, left, right)


def loops_of_their_own(builder: Any, x: Any) -> Any:
    turned = builder.emit(relax.op.permute_dims(x, (0, 1, 3, 2)))
    products = [builder.emit(relax.op.matmul(x, turned)), builder.emit(relax.op.matmul(x, turned))]
    return builder.emit(relax.op.nn.softmax(joined(builder, *products), axis=3))


Body = Callable[[Any, Any], Any]
WITHOUT_COPY = [
    two_branches,
    pooled_branch,
    nested,
    below_each_other,
    the_same_kernel_twice,
    one_after_the_other,
    read_elsewhere,
    a_growing_whole,
    an_input,
    a_part_that_is_a_result,
]
WITH_COPY = [the_same_part_twice, on_two_axes, loops_of_their_own]


def kernels(body: Body) -> list[str]:
    planned = plan_memory(staged_until(module([SHAPE], body), AVX512, "schedule"))
    return [
        binding.value.op.name_hint
        for block in planned.module["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, relax.Call) and isinstance(binding.value.op, relax.GlobalVar)
    ]


@pytest.mark.parametrize("machine", [AVX512, AVX2], ids=["16 lanes", "8 lanes"])
@pytest.mark.parametrize("body", [*WITHOUT_COPY, *WITH_COPY])
def test_concatenations_equal_those_of_tvm(body: Body, machine: Any) -> None:
    mod, data = module([SHAPE], body), normal(*SHAPE)
    found, right = run_staged(mod, machine, data), run_default(mod, data)
    assert len(found) == len(right)
    for mine, its in zip(found, right, strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-5 * float(np.abs(its).max()))


@pytest.mark.parametrize("body", WITHOUT_COPY)
def test_parts_are_written_in_place(body: Body) -> None:
    names = kernels(body)
    assert not [name for name in names if name.startswith("concat")]
    assert [name for name in names if name.endswith("_at_0")]


@pytest.mark.parametrize("body", WITH_COPY)
def test_a_part_that_stands_elsewhere_too_is_copied(body: Body) -> None:
    names = kernels(body)
    assert len([name for name in names if "concat" in name]) == 1
    assert not [name for name in names if "_at_" in name]


def test_a_concatenation_of_concatenations_becomes_one() -> None:
    assert call_counts(flatten_concats(module([SHAPE], nested)))["concat"] == 1


def test_kernels_that_nothing_calls_are_not_compiled() -> None:
    planned = plan_memory(staged_until(module([SHAPE], two_branches), AVX512, "schedule"))
    names = {name.name_hint for name in planned.module.get_global_vars()}
    assert not names & {*planned.renamed.values(), "concatenate"}


def test_the_facts_of_kernels_are_those_of_the_kernels_that_run() -> None:
    built = run_stages(source_of(module([SHAPE], the_same_kernel_twice)), target_for(AVX512))
    facts = {kernel.name: kernel for kernel in built.kernels}
    placed = [kernel for name, kernel in facts.items() if "_at_" in name]
    assert [kernel.calls for kernel in placed] == [1, 1]
    assert all(kernel.flops == 2 * 16 * 16 * 11 * 9 for kernel in placed)
    assert not [name for name in facts if name.startswith("concat")]
