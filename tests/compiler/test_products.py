"""Products of two activations against float64: odd sizes, broadcast axes, operands read transposed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from modeldyno.compiler.graph.rewrite import op_name
from modeldyno.compiler.lower.products import lower_products
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX512, module, run_staged

MACHINES = [Machine(lanes=16, registers=32), Machine(lanes=8, registers=16), Machine(lanes=4, registers=32)]

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def model(shapes: list[Shape], orders: list[list[int] | None]) -> Any:
    """Relax module of the product of two parameters, each with its axes in the order given."""
    builder = relax.BlockBuilder()
    params = [
        relax.Var(name, relax.TensorType(shape, "float32")) for name, shape in zip("ab", shapes, strict=True)
    ]
    with builder.function("main", params):
        with builder.dataflow():
            operands = [
                builder.emit(relax.op.permute_dims(param, order)) if order else param
                for param, order in zip(params, orders, strict=True)
            ]
            result = builder.emit_output(relax.op.matmul(*operands))
        builder.emit_func_output(result)
    return builder.get()


def operators(mod: Any) -> list[str]:
    found: list[str] = []
    relax.analysis.post_order_visit(mod["main"], lambda expr: found.append(op_name(expr)))
    return [name for name in found if name]


def check(shapes: list[Shape], orders: list[list[int] | None], machine: Machine) -> None:
    """The kernel's product agrees with float64, and nothing else is computed."""
    mod = lower_products(model(shapes, orders), machine)
    assert operators(mod) == ["relax.call_tir"]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    run = relax.VirtualMachine(relax.build(mod, "llvm"), tvm.cpu())["main"]
    found = run(*(tvm.runtime.tensor(array) for array in arrays)).numpy()
    left, right = (
        array.astype(np.float64).transpose(order) if order else array.astype(np.float64)
        for array, order in zip(arrays, orders, strict=True)
    )
    # Of products of numbers of about 1: the rounding of float32 grows with the root of how many are summed.
    np.testing.assert_allclose(found, left @ right, atol=2e-6 * left.shape[-1] ** 0.5 + 1e-6, rtol=1e-5)


@given(
    lead=st.sampled_from([(), (1,), (3,), (2, 3)]),
    sizes=st.tuples(*(st.sampled_from(each) for each in ([4, 17, 197], [1, 8, 33, 64], [1, 7, 16, 40, 197]))),
    turned=st.tuples(st.booleans(), st.booleans()),
    machine=st.sampled_from(MACHINES),
)
@settings(max_examples=15, deadline=None)
def test_any_sizes_agree_with_float64(
    lead: Shape, sizes: tuple[int, int, int], turned: tuple[bool, bool], machine: Machine
) -> None:
    height, depth, width = sizes
    shapes, orders = [], []
    for (row, column), turn in zip(((height, depth), (depth, width)), turned, strict=True):
        rank = len(lead) + 2
        shapes.append((*lead, column, row) if turn else (*lead, row, column))
        orders.append([*range(rank - 2), rank - 1, rank - 2] if turn else None)
    check(shapes, orders, machine)


@pytest.mark.parametrize(
    "shapes",
    [[(2, 1, 17, 5), (3, 5, 9)], [(5, 4, 3), (3, 7)], [(4, 3), (2, 3, 7)], [(1, 2, 9, 4), (6, 1, 4, 5)]],
)
def test_leading_axes_are_broadcast(shapes: list[Shape]) -> None:
    check(shapes, [None, None], MACHINES[1])


def test_heads_are_read_from_projections() -> None:
    check([(2, 19, 3, 8), (2, 21, 3, 8)], [[0, 2, 1, 3], [0, 2, 3, 1]], MACHINES[0])


@pytest.mark.parametrize("shapes", [[(1, 8), (8, 5)], [(3, 2, 8), (3, 8, 5)]])
def test_few_rows_stay_an_operator(shapes: list[Shape]) -> None:
    assert operators(lower_products(model(shapes, [None, None]), MACHINES[0])) == ["relax.matmul"]


def test_an_operand_without_an_axis_side_by_side_stays_an_operator() -> None:
    mod = lower_products(model([(6, 4, 8), (8, 5, 6)], [None, [2, 0, 1]]), MACHINES[0])
    assert "relax.matmul" in operators(mod)


def test_products_of_several_sizes_have_names_of_their_own() -> None:
    """Two kernels of one name would be refused by TVM when the module is normalized."""

    def body(builder: Any, *parts: Any) -> Any:
        first = builder.emit(relax.op.matmul(parts[0], parts[1]))
        return relax.Tuple([first, builder.emit(relax.op.matmul(first, parts[2]))])

    shapes = [(2, 8, 16), (2, 16, 24), (2, 24, 40)]
    arrays = [
        np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        for seed, shape in enumerate(shapes)
    ]
    found = run_staged(module(shapes, body), AVX512, *arrays)
    np.testing.assert_allclose(found[0], arrays[0] @ arrays[1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1], arrays[0] @ arrays[1] @ arrays[2], rtol=1e-3, atol=1e-3)
