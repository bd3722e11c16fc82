"""What `main` takes instead of making it: the same results, no constant and no allocation left."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from modeldyno.compiler.graph.rewrite import op_name
from modeldyno.compiler.memory.planning import SETUP, is_planned, plan_memory
from modeldyno.compiler.stages.run import run_stages
from tests.compiler.relaxed import (
    AVX512,
    module,
    run_default,
    run_staged,
    source_of,
    staged_until,
    target_for,
)

Array = npt.NDArray[Any]
X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
W = np.linspace(-2, 2, 64, dtype=np.float32).reshape(8, 8)


def two_layers() -> Any:
    def body(builder: Any, x: Any) -> Any:
        hidden = builder.emit(relax.op.nn.relu(builder.emit(relax.op.matmul(x, relax.const(W)))))
        return builder.emit(relax.op.nn.softmax(builder.emit(relax.op.matmul(hidden, relax.const(W.T)))))

    return module([X.shape], body)


def bindings(function: Any) -> list[Any]:
    return [binding.value for block in function.body.blocks for binding in block.bindings]


def planned(mod: Any) -> Any:
    with target_for(AVX512).tvm_target():
        return plan_memory(staged_until(mod, AVX512, "schedule"))


def test_main_neither_holds_weights_nor_makes_tensors() -> None:
    plan = planned(two_layers())
    assert plan.weights is not None
    assert sum(weight.size for weight in plan.weights) >= 2 * W.size
    held: list[Any] = []
    relax.analysis.post_order_visit(
        plan.module["main"].body,
        lambda e: held.append(e) if isinstance(getattr(e, "value", None), tvm.runtime.Tensor) else None,
    )
    assert held == []
    names = {op_name(value) for value in bindings(plan.module["main"])}
    assert not names & {"relax.vm.alloc_storage", "relax.vm.alloc_tensor"}
    assert "relax.vm.alloc_tensor" in {op_name(value) for value in bindings(plan.module[SETUP])}


def test_the_results_are_those_of_the_default_build() -> None:
    mod = two_layers()
    np.testing.assert_allclose(run_staged(mod, AVX512, X)[0], run_default(mod, X)[0], rtol=1e-5, atol=1e-7)


def test_a_second_inference_in_the_same_buffers_gives_the_same() -> None:
    built = run_stages(source_of(two_layers()), target_for(AVX512))
    machine = relax.VirtualMachine(built.executable, tvm.cpu())
    assert built.weights is not None
    rest = [*map(tvm.runtime.tensor, built.weights), *machine["setup"]()]
    first = machine["main"](tvm.runtime.tensor(X), *rest).numpy()
    machine["main"](tvm.runtime.tensor(-X), *rest)
    np.testing.assert_array_equal(machine["main"](tvm.runtime.tensor(X), *rest).numpy(), first)


def test_a_main_with_branches_stays_as_it_is() -> None:
    # Made by hand, since no front end of ours gives one.
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([2], "float32"))
    condition = relax.Var("condition", relax.TensorType([], "bool"))
    with builder.function("main", [x, condition]):
        branch = relax.If(
            condition,
            relax.SeqExpr([], relax.op.add(x, relax.const(np.float32(1)))),
            relax.SeqExpr([], relax.op.multiply(x, relax.const(np.float32(2)))),
        )
        builder.emit_func_output(builder.emit(branch))
    mod = relax.transform.LegalizeOps()(builder.finalize())
    plan = plan_memory(mod)
    assert (plan.weights, plan.module.same_as(mod), is_planned(plan.module)) == (None, True, False)
