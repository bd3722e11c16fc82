"""Schedule rules: the first that answers wins; each stays out of what is not its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax, s_tir, tirx
from tvm.s_tir import ScheduleError

from compiler.schedules import apply
from compiler.schedules.generic import per_block
from compiler.schedules.machine import Machine
from compiler.schedules.tile import register_tile
from tests.compiler.relaxed import AVX512, module, run_staged, staged_until


def functions(body: Any, *shapes: tuple[int, ...]) -> dict[str, Any]:
    """Give the tensor programs of a module as the rules see them."""
    mod = staged_until(module(shapes, body), AVX512, "fuse")
    return {name.name_hint: func for name, func in mod.functions_items() if isinstance(func, tirx.PrimFunc)}


def dense(builder: Any, x: Any) -> Any:
    weight = np.ones((24, 40), np.float32)
    return builder.emit(relax.op.nn.relu(builder.emit(relax.op.matmul(x, relax.const(weight)))))


def test_register_tile_answers_a_function_that_carries_a_tile() -> None:
    (func,) = functions(dense, (8, 24)).values()
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
    assert register_tile(func, AVX512) is None
    assert per_block(func, AVX512) is not None


def test_per_block_is_the_last_rule() -> None:
    assert apply.RULES[-1] is per_block
    assert apply.RULES[0] is register_tile


def test_where_every_rule_stays_out_the_function_is_tvms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(func: Any, machine: Machine) -> Any:
        sch = s_tir.Schedule(func)
        sch.get_sblock("no such block")

    (func,) = functions(dense, (8, 24)).values()
    with pytest.raises(ScheduleError):
        refuse(func, AVX512)
    monkeypatch.setattr(apply, "RULES", (refuse, lambda *_: None))
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
