"""Small Relax modules made by hand, and two ways of running them: TVM's default build, and our stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.graph.rewrite import rewrite
from modeldyno.compiler.kernels.choice import Chooser
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.stages.base import Context, Recipe
from modeldyno.compiler.stages.cpu import CPU
from modeldyno.compiler.stages.run import run_stages
from modeldyno.compiler.stages.shared import of_module
from modeldyno.compiler.targets.catalog import CompileTarget, host_target
from modeldyno.compiler.targets.machine import Machine
from modeldyno.runtime.records.origin import Road

Array = npt.NDArray[Any]
AVX512, AVX2, NEON = Machine(16, 32), Machine(8, 16), Machine(4, 32)
MACHINES = (AVX512, AVX2, NEON)


def module(shapes: Sequence[tuple[int, ...]], body: Callable[..., Any], dtype: str = "float32") -> Any:
    """Make a module whose `main` takes tensors of these shapes; `body` gets the builder and them."""
    builder = relax.BlockBuilder()
    params = [relax.Var(f"x{index}", relax.TensorType(shape, dtype)) for index, shape in enumerate(shapes)]
    with builder.function("main", params):
        with builder.dataflow():
            result = body(builder, *params)
            out = builder.emit_output(result)
        builder.emit_func_output(out)
    return builder.finalize()


def call_counts(mod: Any) -> dict[str, int]:
    """Count the operators of `main` by name, without `relax.`."""
    counts: dict[str, int] = {}

    def count(expr: Any) -> None:
        if isinstance(expr, relax.Call) and isinstance(expr.op, tvm.ir.Op):
            name = expr.op.name.removeprefix("relax.")
            counts[name] = counts.get(name, 0) + 1

    relax.analysis.post_order_visit(mod["main"].body, count)
    return counts


def run_default(mod: Any, *arrays: Array) -> list[Array]:
    """Run a module through TVM's default build."""
    target = host_target(host_facts()).tvm_target()
    with target:
        return _run(relax.build(mod, target), arrays)


def run_staged(mod: Any, machine: Machine, *arrays: Array, chooser: Chooser | None = None) -> list[Array]:
    """Run a module through all our stages, scheduled for `machine`, on this processor."""
    built = run_stages(source_of(mod), target_for(machine), chooser=chooser)
    return _run(built.executable, arrays, built.weights)


def staged_until(mod: Any, machine: Machine, last: str, *, chooser: Chooser | None = None) -> Any:
    """Give the module as it is after the stage named `last`."""
    return CPU.until(last).apply(None, Context(source_of(mod), target_for(machine), chooser))


def with_stage(place: int, name: str, change: Callable[[Any], Any]) -> Recipe:
    """Give the list of stages for processors with one more at a place: a fault in the compiler."""
    stages = CPU.stages
    return Recipe((*stages[:place], of_module(name, change), *stages[place:]))


def target_for(machine: Machine) -> CompileTarget:
    """This processor, with loop orders for another: LLVM splits vectors that are too wide."""
    return replace(host_target(host_facts()), machine=machine)


def source_of(mod: Any) -> Source:
    """Give a source model that imports as `mod`."""
    return Source(
        name="made by hand",
        frontend="test",
        digest="",
        inputs=(),
        outputs=(),
        import_relax=lambda: mod,
        reference=lambda feeds: feeds,
        reference_name="none",
        road=Road(name="test"),
    )


def _run(executable: Any, arrays: Sequence[Array], weights: Sequence[Array] | None = None) -> list[Array]:
    machine = relax.VirtualMachine(executable, tvm.cpu())
    buffers = [] if weights is None else list(machine["setup"]())
    given = [tvm.runtime.tensor(np.asarray(array, order="C")) for array in (*arrays, *(weights or ()))]
    result = machine["main"](*given, *buffers)
    results = list(result) if isinstance(result, tvm.ir.Array) or not hasattr(result, "numpy") else [result]
    return [tensor.numpy() for tensor in results]


def scaled_constants(mod: Any, factor: float) -> Any:
    """Give the module with every float32 constant of at least two axes multiplied: a miscompilation."""

    def spoiled(expr: Any) -> Any:
        if isinstance(expr, tvm.ir.GenericConst) and expr.value.numpy().ndim > 1:
            return relax.const(expr.value.numpy() * np.float32(factor))
        return expr

    def handle(_builder: Any, _var: Any, value: Any) -> Any:
        if not isinstance(value, relax.Call):
            return value
        return relax.Call(value.op, [spoiled(arg) for arg in value.args], value.attrs, value.ty_args)

    return rewrite(mod, handle)
